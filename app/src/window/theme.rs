//! Colours by role and sizes, read from `assets/theme/`: the only file that turns them into egui's style.
//!
//! A view names what a colour is for (`theme.colors.warning`), never which it is, so that a theme is a text file and a new one
//! needs no code.

use eframe::egui::{
    Color32, Context, CornerRadius, FontDefinitions, FontFamily, FontId, Margin, Shadow, Stroke,
    Style, TextStyle, Theme as Mode, Vec2, Visuals,
};
use serde::{Deserialize, Deserializer, Serialize, de};

use super::log::Level;

const DARK: &str = include_str!("../../../assets/theme/dark.json");
const LIGHT: &str = include_str!("../../../assets/theme/light.json");
const SIZES: &str = include_str!("../../../assets/theme/sizes.json");

/// Which theme a person chose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Choice {
    /// Light on dark.
    #[default]
    Dark,
    /// Dark on light.
    Light,
}

impl Choice {
    /// All, in the order in which they are offered.
    pub(crate) const ALL: [Self; 2] = [Self::Dark, Self::Light];

    /// The other one.
    pub(crate) fn next(self) -> Self {
        if self == Self::Dark { Self::Light } else { Self::Dark }
    }
}

/// A theme as in its file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Theme {
    /// What it is called.
    pub(crate) name: String,
    is_dark: bool,
    /// Its colours.
    pub(crate) colors: Colors,
    /// Lengths, shared by all themes.
    #[serde(skip)]
    pub(crate) sizes: Sizes,
}

/// Colours by what they are for.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Colors {
    /// Behind and between the panes.
    background: Color,
    /// Behind what is in a pane.
    panel: Color,
    /// Buttons and other controls.
    raised: Color,
    /// A control under the pointer.
    hovered: Color,
    /// A control that is pressed.
    pressed: Color,
    /// Text fields and the rails of bars.
    sunken: Color,
    /// Lines between things.
    outline: Color,
    /// What is read.
    text: Color,
    /// What is only glanced at.
    text_weak: Color,
    /// What is to be seen first.
    text_strong: Color,
    /// The one thing to press, and bars that move.
    pub(crate) accent: Color,
    /// Text on the accent.
    pub(crate) on_accent: Color,
    /// What is selected.
    selection: Color,
    /// Links.
    link: Color,
    /// It worked.
    pub(crate) success: Color,
    /// Have a look.
    pub(crate) warning: Color,
    /// It did not work.
    pub(crate) error: Color,
    /// Around a picture.
    pub(crate) screen: Color,
    /// Words where a picture will be.
    on_screen: Color,
    /// Things that are told apart beside one another: clips that are compared, arms of a sweep.
    series: [Color; 4],
}

/// Lengths in points.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sizes {
    text: f32,
    small: f32,
    heading: f32,
    monospace: f32,
    item_spacing: [f32; 2],
    button_padding: [f32; 2],
    control_height: f32,
    /// Around what is in a pane.
    pub(crate) margin: i8,
    radius: u8,
    scroll_bar: f32,
    animation_seconds: f32,
}

/// A colour as `#rrggbb`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Color(Color32);

impl From<Color> for Color32 {
    fn from(color: Color) -> Self {
        color.0
    }
}

impl<'de> Deserialize<'de> for Color {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = |_| de::Error::custom(format!("expected a colour as #rrggbb, got \"{text}\""));
        Color32::from_hex(&text).map(Self).map_err(wrong)
    }
}

/// Installs the fonts, which egui ships: Ubuntu for words, and Hack, which has the signs that Ubuntu lacks.
pub(crate) fn install_fonts(ctx: &Context) {
    let mut fonts = FontDefinitions::default();
    if let Some(names) = fonts.families.get_mut(&FontFamily::Proportional) {
        names.push("Hack".to_owned());
    }
    ctx.set_fonts(fonts);
}

impl Theme {
    /// Reads the theme of a choice. Both are part of the program and a test reads them, so an error is a broken build.
    pub(crate) fn load(choice: Choice) -> Result<Self, serde_json::Error> {
        let text = if choice == Choice::Dark { DARK } else { LIGHT };
        Ok(Self { sizes: serde_json::from_str(SIZES)?, ..serde_json::from_str(text)? })
    }

    /// Makes egui look like this.
    pub(crate) fn apply(&self, ctx: &Context) {
        let mode = if self.is_dark { Mode::Dark } else { Mode::Light };
        ctx.set_style_of(mode, self.style());
        ctx.set_theme(mode);
    }

    fn style(&self) -> Style {
        let sizes = &self.sizes;
        let mut style = Style { visuals: self.visuals(), ..Style::default() };
        let font = |size| FontId::new(size, FontFamily::Proportional);
        style.text_styles = [
            (TextStyle::Small, font(sizes.small)),
            (TextStyle::Body, font(sizes.text)),
            (TextStyle::Button, font(sizes.text)),
            (TextStyle::Heading, font(sizes.heading)),
            (TextStyle::Monospace, FontId::new(sizes.monospace, FontFamily::Monospace)),
        ]
        .into();
        style.spacing.item_spacing = sizes.item_spacing.into();
        style.spacing.button_padding = sizes.button_padding.into();
        style.spacing.interact_size = Vec2::new(40.0, sizes.control_height);
        style.spacing.window_margin = Margin::same(sizes.margin + 4);
        style.spacing.menu_margin = Margin::same(6);
        style.spacing.scroll.bar_width = sizes.scroll_bar;
        style.spacing.tooltip_width = 380.0;
        style.animation_time = sizes.animation_seconds;
        style.interaction.selectable_labels = false; // a drag over a pane would select half of its words
        style.visuals.text_cursor.blink = false; // an idle window must not repaint
        style
    }

    fn visuals(&self) -> Visuals {
        let colors = &self.colors;
        let mut visuals = if self.is_dark { Visuals::dark() } else { Visuals::light() };
        let radius = CornerRadius::same(self.sizes.radius);
        let line = Stroke::new(1.0, colors.outline);
        visuals.panel_fill = colors.panel.into();
        visuals.window_fill = colors.panel.into();
        visuals.window_stroke = line;
        visuals.window_corner_radius = CornerRadius::same(self.sizes.radius + 3);
        visuals.menu_corner_radius = radius;
        visuals.window_shadow = Shadow { spread: 0, ..visuals.window_shadow };
        visuals.extreme_bg_color = colors.sunken.into();
        visuals.text_edit_bg_color = Some(colors.sunken.into());
        visuals.code_bg_color = colors.sunken.into();
        visuals.faint_bg_color = colors.background.into();
        visuals.hyperlink_color = colors.link.into();
        visuals.warn_fg_color = colors.warning.into();
        visuals.error_fg_color = colors.error.into();
        visuals.weak_text_color = Some(colors.text_weak.into());
        visuals.selection.bg_fill = colors.selection.into();
        visuals.selection.stroke = Stroke::new(1.0, colors.text_strong);
        visuals.text_cursor.stroke = Stroke::new(2.0, colors.accent);
        visuals.slider_trailing_fill = true;
        let fills = [
            (&mut visuals.widgets.noninteractive, colors.panel, colors.text),
            (&mut visuals.widgets.inactive, colors.raised, colors.text),
            (&mut visuals.widgets.hovered, colors.hovered, colors.text_strong),
            (&mut visuals.widgets.active, colors.pressed, colors.text_strong),
            (&mut visuals.widgets.open, colors.hovered, colors.text_strong),
        ];
        for (widget, fill, text) in fills {
            widget.bg_fill = fill.into();
            widget.weak_bg_fill = fill.into();
            widget.fg_stroke = Stroke::new(1.0, text);
            widget.bg_stroke = line;
            widget.corner_radius = radius;
            widget.expansion = 0.0;
        }
        visuals.widgets.hovered.bg_stroke = Stroke::new(1.0, colors.accent);
        visuals.widgets.active.bg_stroke = Stroke::new(1.0, colors.accent);
        visuals
    }

    /// The sign of a line of the log and its colour; the shape alone tells them apart too.
    pub(crate) fn sign(&self, level: Level) -> (&'static str, Color32) {
        let colors = &self.colors;
        match level {
            Level::Info => ("○", colors.text_weak.into()),
            Level::Success => ("●", colors.success.into()),
            Level::Warning => ("▲", colors.warning.into()),
            Level::Error => ("■", colors.error.into()),
        }
    }

    /// Words where a picture will be.
    pub(crate) fn on_screen(&self) -> Color32 {
        self.colors.on_screen.into()
    }

    /// The colour of one of several things beside one another, from 0; they come again after the last.
    pub(crate) fn series(&self, index: usize) -> Color32 {
        let series = &self.colors.series;
        series[index % series.len()].into()
    }

    /// Behind and between the panes.
    pub(crate) fn background(&self) -> Color32 {
        self.colors.background.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance of WCAG 2, from 0 to 1.
    fn luminance(color: Color) -> f32 {
        let linear = eframe::egui::Rgba::from(color.0);
        0.2126 * linear.r() + 0.7152 * linear.g() + 0.0722 * linear.b()
    }

    fn contrast(a: Color, b: Color) -> f32 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn every_theme_reads_and_its_text_can_be_read() {
        for choice in Choice::ALL {
            let Theme { name, colors, .. } = Theme::load(choice).unwrap();
            let texts =
                [colors.text, colors.text_weak, colors.warning, colors.error, colors.success];
            for text in texts {
                for behind in [colors.panel, colors.sunken] {
                    let contrast = contrast(text, behind);
                    assert!(
                        contrast >= 4.5,
                        "{name}: {text:?} on {behind:?} has contrast {contrast}"
                    );
                }
            }
            assert!(contrast(colors.on_accent, colors.accent) >= 4.5, "{name}: the main button");
            assert!(contrast(colors.text, colors.raised) >= 4.5, "{name}: buttons");
        }
    }

    #[test]
    fn a_colour_that_is_none_is_told() {
        let error = serde_json::from_str::<Color>("\"red\"").unwrap_err().to_string();
        assert!(error.contains("#rrggbb") && error.contains("red"), "{error}");
    }
}
