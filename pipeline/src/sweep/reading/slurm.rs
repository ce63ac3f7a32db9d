//! The table `[slurm]` of a sweep file.

use super::{Entry, Reader, whole};
use crate::Result;
use crate::slurm::{MOST_TASKS, Options, option_of_sbatch};

/// What may stand in it.
const KEYS: &str = "tasks, partition, time, gres or sbatch";

impl Reader<'_> {
    pub(super) fn slurm(&self, entry: &Entry<'_>) -> Result<Options> {
        let mut options = Options::default();
        for part in self.table(entry)? {
            let text = || {
                let text = part.value.get_ref().as_str().filter(|text| is_one_line(text));
                let expected = "a text on one line, as sbatch takes it";
                text.map(|text| Some(text.to_owned())).ok_or_else(|| self.unfit(&part, expected))
            };
            match part.key {
                "tasks" => {
                    let tasks =
                        whole(part.value).filter(|n| (1..=u64::from(MOST_TASKS)).contains(n));
                    let expected = format!("a whole number from 1 to {MOST_TASKS}");
                    options.tasks = Some(tasks.ok_or_else(|| self.unfit(&part, expected))? as u32);
                }
                "partition" => options.partition = text()?,
                "time" => options.time = text()?,
                "gres" => options.gres = text()?,
                "sbatch" => options.sbatch = self.options_of_sbatch(&part)?,
                _ => return Err(self.wrong(part.at(), part.key, KEYS, "an unknown key")),
            }
        }
        Ok(options)
    }

    fn options_of_sbatch(&self, entry: &Entry<'_>) -> Result<Vec<String>> {
        let expected =
            "a list of options of sbatch, such as [\"--account=lab\", \"--cpus-per-task=8\"]";
        let list = entry.value.get_ref().as_array().ok_or_else(|| self.unfit(entry, expected))?;
        let option = |value: &super::Item<'_>| {
            let text = value.get_ref().as_str().and_then(option_of_sbatch);
            let got = self.text.get(value.span()).unwrap_or_default();
            text.ok_or_else(|| self.wrong(value.span(), entry.key, expected, got))
        };
        list.iter().map(option).collect()
    }
}

fn is_one_line(text: &str) -> bool {
    !text.trim().is_empty() && !text.contains(['\n', '\r', '\0'])
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::super::Sweep;

    const HEAD: &str = "version = 1\nprompts = [\"a\"]\n[slurm]\n";

    fn parse(table: &str) -> crate::Result<Sweep> {
        Sweep::parse(&format!("{HEAD}{table}"), Path::new("s.toml"))
    }

    #[test]
    fn the_table_is_read_and_written_back() {
        let table = "tasks = 8\ntime = \"2:00:00\"\nsbatch = [\"#SBATCH --account=lab\"]\n";
        let sweep = parse(table).unwrap();
        assert_eq!((sweep.slurm.tasks, sweep.slurm.time.as_deref()), (Some(8), Some("2:00:00")));
        assert_eq!(sweep.slurm.sbatch, ["--account=lab"]);
        assert_eq!(Sweep::parse(&sweep.to_toml(), Path::new("s.toml")).unwrap(), sweep);
    }

    #[test]
    fn errors_name_line_and_key() {
        for (table, told) in [
            ("tasks = 0", "s.toml:4: tasks: expected a whole number from 1 to 1000, got 0"),
            ("time = 90", "s.toml:4: time: expected a text on one line"),
            ("gpus = 1", "s.toml:4: gpus: expected tasks, partition, time, gres or sbatch"),
            ("sbatch = \"--x\"", "s.toml:4: sbatch: expected a list of options of sbatch"),
            ("sbatch = [\n\"rm -rf x\"]", "s.toml:5: sbatch: expected a list of options"),
        ] {
            let error = parse(table).unwrap_err().to_string();
            assert!(error.starts_with(told), "{error}");
        }
    }
}
