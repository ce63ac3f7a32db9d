//! What may be exported, and how.

/// What of a recording is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum What {
    /// The clip before each step.
    Latents,
    /// Level maps of pinned heads.
    Maps,
    /// What these levels were chosen by.
    Scores,
    /// Attention of pinned heads, averaged over blocks.
    Attention,
    /// Attention of query tokens.
    Tokens,
    /// Token orders.
    Orders,
    /// What happened.
    Events,
    /// Steps, calls, heads and thumbnails.
    Summary,
}

impl What {
    /// All of it.
    pub const ALL: [Self; 8] = [
        Self::Latents,
        Self::Maps,
        Self::Scores,
        Self::Attention,
        Self::Tokens,
        Self::Orders,
        Self::Events,
        Self::Summary,
    ];

    /// The word for it, and the stem of its files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Latents => "latents",
            Self::Maps => "maps",
            Self::Scores => "scores",
            Self::Attention => "attention",
            Self::Tokens => "tokens",
            Self::Orders => "orders",
            Self::Events => "events",
            Self::Summary => "summary",
        }
    }

    /// What a word stands for.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|what| what.name() == name)
    }
}

/// How it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// Arrays for NumPy.
    Npz,
    /// Arrays for everything that reads checkpoints; one file is in memory as a whole.
    Safetensors,
    /// Pictures.
    Png,
    /// A JSON object a line.
    Jsonl,
    /// Tables.
    Csv,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Npz, Self::Safetensors, Self::Png, Self::Jsonl, Self::Csv];

    /// The word for it, and the ending of its files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Npz => "npz",
            Self::Safetensors => "safetensors",
            Self::Png => "png",
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
        }
    }

    /// The format of a word.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}
