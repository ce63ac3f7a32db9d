//! Which pane is where: a tree of tiles that a person drags about, saved between two times and reset by a command.
//!
//! A new view is a name in [`Pane`], a line in [`Pane::title`] and one in [`Panes::pane_ui`].

use eframe::egui::{Color32, Frame, Id, Margin, Stroke, Style, Ui, Visuals, WidgetText};
use egui_tiles::{
    Behavior, Container, Linear, LinearDir, SimplificationOptions, TabState, Tile, TileId, Tiles,
    Tree, UiResponse,
};
use serde::{Deserialize, Serialize};

use super::action::Action;
use super::store::Store;
use super::views;

/// What a tile shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Pane {
    /// Prompt and settings.
    Compose,
    /// The clip.
    Screen,
    /// What will be, is or was done.
    Run,
    /// Finished clips of all times.
    History,
    /// Clips that wait and clips that ended.
    Queue,
    /// What attention did.
    Lens,
    /// Clips on one playhead.
    Compare,
    /// Everything that was told.
    Log,
}

impl Pane {
    /// The title of its tab.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Compose => "Clip",
            Self::Screen => "Screen",
            Self::Run => "Run",
            Self::History => "History",
            Self::Queue => "Queue",
            Self::Lens => "Lens",
            Self::Compare => "Compare",
            Self::Log => "Log",
        }
    }
}

/// The layout of a window that was never changed.
pub(crate) fn first() -> Tree<Pane> {
    let mut tiles = Tiles::default();
    let mut tab = |panes: &[Pane]| {
        let panes = panes.iter().map(|pane| tiles.insert_pane(*pane)).collect();
        tiles.insert_tab_tile(panes)
    };
    let (left, screen, run, below) = (
        tab(&[Pane::Compose]),
        tab(&[Pane::Screen, Pane::History]),
        tab(&[Pane::Run]),
        tab(&[Pane::Queue, Pane::Log]),
    );
    let mut side = Linear::new(LinearDir::Vertical, vec![run, below]);
    side.shares.set_share(run, 1.5);
    side.shares.set_share(below, 1.0);
    let side = tiles.insert_new(Container::Linear(side).into());
    let mut all = Linear::new(LinearDir::Horizontal, vec![left, screen, side]);
    for (tile, share) in [(left, 1.15), (screen, 1.9), (side, 1.0)] {
        all.shares.set_share(tile, share);
    }
    let studio = tiles.insert_new(Container::Linear(all).into());
    let lens = tiles.insert_pane(Pane::Lens);
    let compare = tiles.insert_pane(Pane::Compare);
    let root = tiles.insert_tab_tile(vec![studio, lens, compare]);
    Tree::new(Id::unique("panes"), root, tiles)
}

/// Brings a pane to the front. One that a saved layout has not comes beside the screen, the Lens and Compare beside the whole studio.
pub(crate) fn reveal(tree: Option<&mut Tree<Pane>>, pane: Pane) {
    let Some(tree) = tree else { return };
    if tree.tiles.find_pane(&pane).is_none() {
        let new = tree.tiles.insert_pane(pane);
        let is_tabs =
            |tile: &TileId| matches!(tree.tiles.get_container(*tile), Some(Container::Tabs(_)));
        let screen = tree
            .tiles
            .find_pane(&Pane::Screen)
            .filter(|_| !matches!(pane, Pane::Lens | Pane::Compare));
        let beside = screen.and_then(|screen| tree.tiles.parent_of(screen));
        if let Some(tabs) = beside.or(tree.root()).filter(is_tabs) {
            tree.move_tile_to_container(new, tabs, usize::MAX, false);
        } else {
            let all = tree.root().into_iter().chain([new]).collect();
            tree.root = Some(tree.tiles.insert_tab_tile(all));
        }
    }
    tree.make_active(|_, tile| matches!(tile, Tile::Pane(other) if *other == pane));
}

/// Whether a pane can be seen: no other tab lies over it.
pub(crate) fn is_shown(tree: Option<&Tree<Pane>>, pane: Pane) -> bool {
    let is_active = |tree: &Tree<Pane>| {
        tree.tiles.find_pane(&pane).is_some_and(|tile| tree.active_tiles().contains(&tile))
    };
    tree.is_some_and(is_active)
}

/// How the tree draws itself, and what is in its panes.
pub(crate) struct Panes<'a> {
    /// What the views read.
    pub(crate) store: &'a Store,
    /// What they ask for.
    pub(crate) actions: &'a mut Vec<Action>,
    /// Whether a tile was moved, so that the layout is worth saving.
    pub(crate) is_edited: bool,
}

impl Behavior<Pane> for Panes<'_> {
    fn pane_ui(&mut self, ui: &mut Ui, _: TileId, pane: &mut Pane) -> UiResponse {
        let margin = Margin::same(self.store.theme.sizes.margin);
        let fill = ui.visuals().panel_fill;
        let (store, actions) = (self.store, &mut *self.actions);
        let frame = if *pane == Pane::Screen {
            Frame::new().fill(fill)
        } else {
            Frame::new().fill(fill).inner_margin(margin)
        };
        frame.show(ui, |ui| {
            ui.set_min_size(ui.available_size());
            match pane {
                Pane::Compose => views::compose::show(ui, store, actions),
                Pane::Screen => views::screen::show(ui, store, actions),
                Pane::Run => views::run::show(ui, store, actions),
                Pane::History => views::history::show(ui, store, actions),
                Pane::Queue => views::queue::show(ui, store, actions),
                Pane::Lens => super::lens::view::show(ui, store, actions),
                Pane::Compare => super::compare::view::show(ui, store, actions),
                Pane::Log => views::log::show(ui, store, actions),
            }
        });
        UiResponse::None
    }

    fn tab_title_for_pane(&mut self, pane: &Pane) -> WidgetText {
        let waiting = self.store.queue.waiting().len();
        match pane {
            Pane::Queue if waiting > 0 => format!("{} ({waiting})", pane.title()).into(),
            _ => pane.title().into(),
        }
    }

    fn tab_title_for_tile(&mut self, tiles: &Tiles<Pane>, tile: TileId) -> WidgetText {
        match tiles.get(tile) {
            Some(Tile::Pane(pane)) => self.tab_title_for_pane(pane),
            // A group of panes that became a tab is named after what is in it.
            Some(Tile::Container(_)) => {
                let studio = tiles.find_pane(&Pane::Compose);
                let is_inside = studio.is_some_and(|studio| is_inside(tiles, studio, tile));
                if is_inside { "Studio".into() } else { "Panes".into() }
            }
            None => WidgetText::default(),
        }
    }

    fn simplification_options(&self) -> SimplificationOptions {
        SimplificationOptions { all_panes_must_have_tabs: true, ..SimplificationOptions::default() }
    }

    fn gap_width(&self, _: &Style) -> f32 {
        4.0
    }

    fn min_size(&self) -> f32 {
        120.0
    }

    fn tab_bar_height(&self, _: &Style) -> f32 {
        28.0
    }

    fn tab_bar_color(&self, _: &Visuals) -> Color32 {
        self.store.theme.background()
    }

    fn tab_bg_color(
        &self,
        visuals: &Visuals,
        _: &Tiles<Pane>,
        _: TileId,
        state: &TabState,
    ) -> Color32 {
        if state.active { visuals.panel_fill } else { self.store.theme.background() }
    }

    fn tab_text_color(
        &self,
        visuals: &Visuals,
        _: &Tiles<Pane>,
        _: TileId,
        state: &TabState,
    ) -> Color32 {
        if state.active { visuals.text_color() } else { visuals.weak_text_color() }
    }

    fn tab_outline_stroke(&self, _: &Visuals, _: &Tiles<Pane>, _: TileId, _: &TabState) -> Stroke {
        Stroke::NONE
    }

    fn tab_bar_hline_stroke(&self, _: &Visuals) -> Stroke {
        Stroke::NONE
    }

    fn on_edit(&mut self, _: egui_tiles::EditAction) {
        self.is_edited = true;
    }
}

/// Whether a tile lies somewhere below another.
fn is_inside(tiles: &Tiles<Pane>, tile: TileId, above: TileId) -> bool {
    let mut at = Some(tile);
    while let Some(id) = at {
        if id == above {
            return true;
        }
        at = tiles.parent_of(id);
    }
    false
}
