//! Which of several choices each head gets, when choices cost density and lose accuracy.
//!
//! Of a head's choices only those on the lower convex hull of loss over density are ever the best for some price. Going
//! along the hulls, every step gains (loss saved) / (density spent), less and less; so a price, or a budget for the mean
//! density of all heads, says how far each head goes. A lower price and a larger budget never take a step back.

/// A choice: its density and its loss.
pub(super) type Choice = (f64, f64);

/// The hulls of all heads.
#[derive(Debug)]
pub(super) struct Frontier {
    /// Of each head, choices with growing density and falling gain, by their number in the head's list.
    hulls: Vec<Vec<(usize, Choice)>>,
    /// All choices.
    heads: Vec<Vec<Choice>>,
}

impl Frontier {
    /// From the choices of each head, none of them without any.
    pub(super) fn new(heads: Vec<Vec<Choice>>) -> Self {
        Self { hulls: heads.iter().map(|choices| hull(choices)).collect(), heads }
    }

    /// The number of each head's choice at which loss + price · density is smallest; of equal ones the densest.
    pub(super) fn at_price(&self, price: f64) -> Vec<usize> {
        let far = |hull: &Vec<(usize, Choice)>| {
            let steps = hull.windows(2).take_while(|step| gain(step) >= price);
            hull.get(steps.count()).map_or(0, |choice| choice.0)
        };
        self.hulls.iter().map(far).collect()
    }

    /// The number of each head's choice, such that their mean density is at most `budget`: steps by their gain while there is
    /// budget left for them, and what is left then as far on the next step as it reaches. The least that heads can do is taken
    /// even where it is above the budget.
    pub(super) fn at_budget(&self, budget: f64) -> Vec<usize> {
        let mut steps: Vec<(usize, &[(usize, Choice)])> = Vec::new();
        for (head, hull) in self.hulls.iter().enumerate() {
            steps.extend(hull.windows(2).map(|step| (head, step)));
        }
        steps.sort_by(|a, b| gain(b.1).total_cmp(&gain(a.1))); // stable: a head's own steps stay in their order
        let first = |hull: &Vec<(usize, Choice)>| hull.first().map_or((0, 0.0), |c| (c.0, c.1.0));
        let least = self.hulls.iter().map(|hull| first(hull).1);
        let mut left = budget * self.hulls.len() as f64 - least.sum::<f64>() + 1e-9;
        let mut chosen: Vec<usize> = self.hulls.iter().map(|hull| first(hull).0).collect();
        for (head, step) in steps {
            let (from, to) = (step[0].1.0, step[1].1.0);
            if to - from > left {
                if let Some(part) = self.part(head, from, from + left) {
                    chosen[head] = part;
                }
                break;
            }
            left -= to - from;
            chosen[head] = step[1].0;
        }
        chosen
    }

    /// The densest of a head's choices above one density and not above another.
    fn part(&self, head: usize, above: f64, most: f64) -> Option<usize> {
        let choices = self.heads[head].iter().enumerate();
        let within = choices.filter(|(_, choice)| choice.0 > above && choice.0 <= most);
        let densest = within.max_by(|(_, a), (_, b)| a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1)));
        densest.map(|(index, _)| index)
    }
}

/// Loss saved for density spent.
fn gain(step: &[(usize, Choice)]) -> f64 {
    let ((_, from), (_, to)) = (step[0], step[1]);
    (from.1 - to.1) / (to.0 - from.0)
}

/// The lower convex hull from the sparsest choice to the densest.
fn hull(choices: &[Choice]) -> Vec<(usize, Choice)> {
    let mut sorted: Vec<(usize, Choice)> = choices.iter().copied().enumerate().collect();
    sorted.sort_by(|(_, a), (_, b)| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    // Of equal densities the first has the least loss.
    sorted.dedup_by(|later, first| later.1.0 - first.1.0 < 1e-9);
    let mut hull: Vec<(usize, Choice)> = Vec::new();
    for choice in sorted {
        while let [.., before, last] = hull.as_slice() {
            if gain(&[*before, *last]) > gain(&[*last, choice]) {
                break;
            }
            hull.pop();
        }
        hull.push(choice);
    }
    hull
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hulls_by_hand() {
        // (0.5, 0.9) lies above the line from (0, 1) to (0.6, 0.1).
        let head = vec![(1.0, 0.0), (0.5, 0.9), (0.0, 1.0), (0.6, 0.1), (0.6, 0.2)];
        let frontier = Frontier::new(vec![head]);
        assert_eq!(frontier.at_price(2.0), [2]);
        assert_eq!(frontier.at_price(1.5), [3], "it gains 0.9 for 0.6");
        assert_eq!(frontier.at_price(0.3), [3]);
        assert_eq!([frontier.at_price(0.25), frontier.at_price(0.0)], [[0], [0]]);
        assert_eq!([frontier.at_budget(0.4), frontier.at_budget(0.6)], [[2], [3]]);
    }

    #[test]
    fn a_budget_goes_where_it_gains_most() {
        let wide = vec![(0.1, 0.8), (0.5, 0.4), (1.0, 0.0)];
        let narrow = vec![(0.1, 0.05), (0.5, 0.01), (1.0, 0.0)];
        let frontier = Frontier::new(vec![wide, narrow]);
        assert_eq!(frontier.at_budget(0.3), [1, 0]);
        assert_eq!(frontier.at_budget(0.55), [2, 0]);
        assert_eq!(frontier.at_budget(0.0), [0, 0], "the least that they can do");
        assert_eq!(frontier.at_budget(1.0), [2, 2]);
        // A choice that no price picks is better than half of a step.
        let frontier = Frontier::new(vec![vec![(0.0, 1.0), (0.4, 0.7), (1.0, 0.0)]]);
        assert_eq!([frontier.at_budget(0.5), frontier.at_budget(0.3)], [[1], [0]]);
    }

    proptest! {
        #[test]
        fn more_never_takes_back(
            heads in prop::collection::vec(prop::collection::vec((0.0..1.0f64, 0.0..1.0f64), 1..8), 1..5),
            small in 0.0..1.0f64,
            large in 0.0..1.0f64,
        ) {
            let full: Vec<Vec<Choice>> = heads
                .into_iter()
                .map(|choices| choices.into_iter().chain([(1.0, 0.0)]).collect())
                .collect();
            let frontier = Frontier::new(full.clone());
            let densities = |chosen: &[usize]| -> Vec<f64> {
                chosen.iter().zip(&full).map(|(choice, head)| head[*choice].0).collect()
            };
            let (small, large) = (small.min(large), small.max(large));
            for (less, more) in [
                (frontier.at_budget(small), frontier.at_budget(large)),
                (frontier.at_price(large), frontier.at_price(small)),
            ] {
                let pairs = densities(&less).into_iter().zip(densities(&more));
                for (less, more) in pairs {
                    prop_assert!(less <= more + 1e-9);
                }
            }
            let priced = frontier.at_price(small);
            for (choices, chosen) in full.iter().zip(priced) {
                let cost = |choice: Choice| choice.1 + small * choice.0;
                let best = choices.iter().map(|c| cost(*c)).fold(f64::INFINITY, f64::min);
                prop_assert!(cost(choices[chosen]) <= best + 1e-9);
            }
        }
    }
}
