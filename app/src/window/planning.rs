//! What the form would mean: the plan of the draft, made on a worker's thread while one types.

use tessera_pipeline::history;
use tessera_pipeline::machine::Machine;
use tessera_pipeline::plan::{self, Plan, files};
use tessera_pipeline::request::Request;
use tessera_pipeline::tune::{self, Place, Tuned};

/// A request to plan, with the number by which its answer is known.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    /// Counts up.
    pub(crate) number: u64,
    /// What to plan.
    pub(crate) request: Request,
}

/// What came of it.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// The question's number.
    pub(crate) number: u64,
    /// The plan, or why there is none.
    pub(crate) plan: Result<Box<Plan>, String>,
    /// Width, height and frames that the model can make, where the asked ones are not.
    pub(crate) snapped: Option<[u64; 3]>,
    /// The presets that were tuned for this model, size and device.
    pub(crate) tuned: Option<Tuned>,
}

impl Question {
    /// Plans; reads the folder's headers, so never on the window's thread.
    pub(crate) fn answer(&self) -> Answer {
        let mut one = Request { count: None, ..self.request.clone() };
        files::spare_existing(&mut one); // as it will be when it is made
        let plan = Plan::resolve_with(&one, &Machine::detect(), &history::rates());
        let plan = plan.map(Box::new).map_err(|error| error.to_string());
        let tuned = plan.as_ref().ok().and_then(|plan| {
            // A file that cannot be read is told by `--tuned`; the form only has nothing to offer then.
            let all = history::data_dir().and_then(|folder| tune::load(&folder).ok())?;
            tune::find(&all, &Place::of(plan)).cloned()
        });
        let snapped = match plan::legal_size(&one) {
            Ok((asked, legal)) if asked != legal => {
                Some([legal.width as u64, legal.height as u64, legal.frames as u64])
            }
            _ => None,
        };
        Answer { number: self.number, plan, snapped, tuned }
    }
}

/// The newest answer, and whether a newer one is on its way.
#[derive(Debug, Default)]
pub(crate) struct Planning {
    asked: Option<Request>,
    number: u64,
    answer: Option<Answer>,
}

impl Planning {
    /// The question that this request makes, unless it was the last one.
    pub(crate) fn ask(&mut self, request: &Request) -> Option<Question> {
        if self.asked.as_ref() == Some(request) {
            return None;
        }
        self.asked = Some(request.clone());
        self.number += 1;
        Some(Question { number: self.number, request: request.clone() })
    }

    /// Asks again at the next chance: the machine has learnt something.
    pub(crate) fn forget(&mut self) {
        self.asked = None;
    }

    /// Takes an answer in, unless a later one is there already.
    pub(crate) fn take(&mut self, answer: Answer) {
        if self.answer.as_ref().is_none_or(|last| last.number <= answer.number) {
            self.answer = Some(answer);
        }
    }

    /// Whether what is shown is of an earlier request.
    pub(crate) fn is_behind(&self) -> bool {
        self.answer.as_ref().is_none_or(|answer| answer.number < self.number)
    }

    /// The newest plan.
    pub(crate) fn plan(&self) -> Option<&Plan> {
        self.answer.as_ref()?.plan.as_deref().ok()
    }

    /// Why there is none.
    pub(crate) fn error(&self) -> Option<&str> {
        self.answer.as_ref()?.plan.as_ref().err().map(String::as_str)
    }

    /// The presets that were tuned for what is planned.
    pub(crate) fn tuned(&self) -> Option<&Tuned> {
        self.answer.as_ref()?.tuned.as_ref()
    }

    /// The nearest legal size, where the asked one is none.
    pub(crate) fn snapped(&self) -> Option<[u64; 3]> {
        self.answer.as_ref()?.snapped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_asked_about_once_and_an_old_answer_is_dropped() {
        let mut planning = Planning::default();
        let first = planning.ask(&Request::default()).unwrap();
        assert!(planning.ask(&Request::default()).is_none());
        let second = planning.ask(&Request { steps: Some(3), ..Request::default() }).unwrap();
        let answer = |number, words: &str| Answer {
            number,
            plan: Err(words.into()),
            snapped: None,
            tuned: None,
        };
        planning.take(answer(second.number, "second"));
        planning.take(answer(first.number, "first"));
        assert_eq!((planning.error(), planning.is_behind()), (Some("second"), false));
    }

    #[test]
    fn an_illegal_size_is_snapped_and_a_legal_one_planned() {
        let request = Request {
            prompt: "a ball".into(),
            width: Some(100),
            frames: Some(32),
            ..Request::default()
        };
        let answer = Question { number: 1, request }.answer();
        assert!(answer.plan.is_err());
        assert_eq!(answer.snapped, Some([96, 256, 33]));
        let answer = Question { number: 1, request: Request::default() }.answer();
        let plan = answer.plan.unwrap();
        assert_eq!((plan.tokens, plan.blocks(), plan.padding()), (2304, [18, 36], 0));
        assert!(answer.snapped.is_none());
    }
}
