//! Blind: A and B without names and in an order that changes with every vote, so that only what is seen is voted on.
//!
//! Nothing on the screen tells which is which: names, settings, curves and pixel values wait until the result is asked for.

use std::path::PathBuf;

use crossbeam_channel::{Receiver, Sender, bounded};
use eframe::egui::{Align, Context, Frame, Layout, RichText, Ui};
use tessera_pipeline::votes::{Choice, Tally, Votes};

use super::clip::Clip;
use super::{Compare, Mode};
use crate::window::action::Action;
use crate::window::commands::Command;
use crate::window::store::Store;
use crate::window::views::parts;

/// Votes that may wait to be stored.
const UNREAD: usize = 64;

/// A blind comparison that is under way.
#[derive(Debug, Clone)]
pub(crate) struct Blind {
    /// The files of A and B.
    pub(super) pair: [PathBuf; 2],
    /// Whether B is the first that is seen.
    pub(super) is_turned: bool,
    /// The votes of this sitting, for A and B.
    pub(super) now: Tally,
    /// All votes that were ever stored on the pair, once they were read.
    pub(super) ever: Option<Tally>,
    /// Whether the names are told.
    pub(super) is_over: bool,
}

/// A vote to be stored, or none when only the tally is asked for.
#[derive(Debug)]
struct Ask {
    pair: [PathBuf; 2],
    choice: Option<Choice>,
}

/// The thread that keeps votes; dropping it ends the thread.
pub(crate) struct Desk {
    asks: Sender<Ask>,
    told: Receiver<Result<([PathBuf; 2], Tally), String>>,
}

impl Desk {
    /// Starts the thread; votes are kept in this folder, or nowhere.
    pub(crate) fn start(ctx: &Context, folder: Option<PathBuf>) -> std::io::Result<Self> {
        let (asks, inbox) = bounded::<Ask>(UNREAD);
        let (outbox, told) = bounded(UNREAD);
        let ctx = ctx.clone();
        std::thread::Builder::new().name("tessera-votes".into()).spawn(move || {
            let mut votes = None;
            for Ask { pair, choice } in inbox {
                let serve = |votes: &mut Option<Votes>| {
                    let folder = folder.as_deref().ok_or("there is no folder to keep votes in")?;
                    let open = match votes {
                        Some(open) => open,
                        slot => {
                            slot.insert(Votes::open(folder).map_err(|error| error.to_string())?)
                        }
                    };
                    let both = [pair[0].as_path(), pair[1].as_path()];
                    if let Some(choice) = choice {
                        open.add(both, choice).map_err(|error| error.to_string())?;
                    }
                    open.tally(both).map_err(|error| error.to_string())
                };
                let tally = serve(&mut votes).map(|tally| (pair.clone(), tally));
                if outbox.send(tally).is_err() {
                    return;
                }
                ctx.request_repaint();
            }
        })?;
        Ok(Self { asks, told })
    }

    /// Stores a vote, and asks for all there are.
    pub(crate) fn ask(&self, pair: [PathBuf; 2], choice: Option<Choice>) {
        if self.asks.try_send(Ask { pair, choice }).is_err() {
            tracing::warn!("too many votes wait; one was dropped");
        }
    }

    /// What has come back.
    pub(crate) fn told(&self) -> impl Iterator<Item = Result<([PathBuf; 2], Tally), String>> {
        self.told.try_iter()
    }
}

impl Compare {
    /// Why nothing can be compared blindly, if it cannot.
    pub(crate) fn blind_refusal(&self) -> Option<String> {
        self.refusal_of(Mode::Wipe)
    }

    /// Whether names are hidden.
    pub(crate) fn is_blind(&self) -> bool {
        self.blind.as_ref().is_some_and(|blind| !blind.is_over)
    }

    /// A and B in the order in which they are seen.
    pub(super) fn seen_pair(&self) -> Option<[&Clip; 2]> {
        let [a, b] = self.pair()?;
        let is_turned = self.blind.as_ref().is_some_and(|blind| !blind.is_over && blind.is_turned);
        Some(if is_turned { [b, a] } else { [a, b] })
    }

    /// Begins with A and B; answers with their files.
    pub(super) fn begin_blind(&mut self, is_turned: bool) -> Option<[PathBuf; 2]> {
        let pair = self.pair()?.map(|clip| clip.source.path.clone());
        self.blind = Some(Blind {
            pair: pair.clone(),
            is_turned,
            now: Tally::default(),
            ever: None,
            is_over: false,
        });
        if !matches!(self.looking.mode, Mode::Side | Mode::Wipe | Mode::Blink) {
            self.looking.mode = Mode::Side;
        }
        (self.looking.hidden, self.wants_focus) = (None, true);
        Some(pair)
    }

    /// Counts a vote for what is seen first, second or for neither, and changes the order for the next one; answers with what
    /// is to be stored.
    pub(super) fn vote(&mut self, seen: Choice, is_turned: bool) -> Option<([PathBuf; 2], Choice)> {
        let blind = self.blind.as_mut().filter(|blind| !blind.is_over)?;
        let choice = match seen {
            Choice::First if blind.is_turned => Choice::Second,
            Choice::Second if blind.is_turned => Choice::First,
            seen => seen,
        };
        blind.now.count(choice);
        blind.is_turned = is_turned;
        self.transport.seek(0, self.frames());
        self.transport.is_playing = true;
        Some((self.blind.as_ref()?.pair.clone(), choice))
    }

    /// Whether B is the first that is seen.
    #[cfg(test)]
    pub(crate) fn is_turned(&self) -> bool {
        self.blind.as_ref().is_some_and(|blind| blind.is_turned)
    }

    /// Whether votes of earlier sittings were read.
    #[cfg(test)]
    pub(crate) fn has_votes(&self) -> bool {
        self.blind
            .as_ref()
            .is_some_and(|blind| blind.ever.is_some_and(|ever| ever.first + ever.second > 0))
    }

    /// Takes in the votes that are stored.
    pub(super) fn take_tally(&mut self, pair: &[PathBuf; 2], tally: Tally) {
        if let Some(blind) = self.blind.as_mut().filter(|blind| blind.pair == *pair) {
            blind.ever = Some(tally);
        }
    }
}

/// The bar that a blind comparison has in place of clips and modes.
pub(super) fn show(ui: &mut Ui, store: &Store, blind: &Blind, actions: &mut Vec<Action>) {
    let compare = &store.compare;
    ui.horizontal_wrapped(|ui| {
        if blind.is_over {
            return result(ui, store, blind, actions);
        }
        ui.label("Which clip is better?");
        for (command, name) in [
            (Command::VoteFirst, "The first"),
            (Command::VoteSecond, "The second"),
            (Command::VoteNeither, "I see no difference"),
        ] {
            parts::command_button(ui, store, command, name, actions);
        }
        let count = blind.now.first + blind.now.second + blind.now.neither;
        ui.weak(crate::text::plural(count, "vote"));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            parts::command_button(ui, store, Command::Blind, "Show the result", actions);
            for (mode, name) in
                [(Mode::Blink, "Blink"), (Mode::Wipe, "Wipe"), (Mode::Side, "Side by side")]
            {
                if ui.selectable_label(compare.looking.mode == mode, name).clicked() {
                    actions.push(Action::Compare(super::Wish::Mode(mode)));
                }
            }
        });
    });
}

/// The names, the counts and what they mean.
fn result(ui: &mut Ui, store: &Store, blind: &Blind, actions: &mut Vec<Action>) {
    let name = |index: usize| {
        blind.pair[index].file_stem().unwrap_or_default().to_string_lossy().into_owned()
    };
    Frame::group(ui.style()).show(ui, |ui| {
        ui.vertical(|ui| {
            ui.strong("Blind comparison");
            ui.label(words([&name(0), &name(1)], "This time", blind.now));
            if let Some(ever) = blind.ever.filter(|ever| *ever != blind.now) {
                ui.label(RichText::new(words([&name(0), &name(1)], "In all", ever)).weak());
            }
        });
    });
    parts::command_button(ui, store, Command::Blind, "Done", actions);
}

/// Votes as a sentence, with the share of A and its interval.
fn words([a, b]: [&str; 2], when: &str, tally: Tally) -> String {
    let Tally { first, second, neither } = tally;
    let counts =
        format!("{when}: {first} for A ({a}), {second} for B ({b}), {neither} saw no difference");
    match tally.share_of_first() {
        None => format!("{counts}."),
        Some([share, low, high]) => {
            let percent = |share: f64| share * 100.0;
            let meaning = if low > 0.5 {
                "A is seen as better."
            } else if high < 0.5 {
                "B is seen as better."
            } else {
                "That can be chance."
            };
            format!(
                "{counts}. A had {:.0} % of the choices, 95 % interval {:.0}–{:.0} %. {meaning}",
                percent(share),
                percent(low),
                percent(high)
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_says_whether_it_can_be_chance() {
        let tally = |first, second| Tally { first, second, neither: 1 };
        assert!(
            words(["x", "y"], "In all", tally(6, 3))
                .contains("67 % of the choices, 95 % interval 35–88 %. That can be chance.")
        );
        assert!(words(["x", "y"], "In all", tally(1, 14)).contains("B is seen as better"));
        assert_eq!(
            words(["x", "y"], "Now", tally(0, 0)),
            "Now: 0 for A (x), 0 for B (y), 1 saw no difference."
        );
    }
}
