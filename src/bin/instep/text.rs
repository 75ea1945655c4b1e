//! Text on bitmaps in a font that the program brings along, so that a picture looks the same where no font is installed.

use ab_glyph::{Font, FontRef, Glyph, PxScale, ScaleFont, point};
use plotters::prelude::{BitMapBackend, DrawingBackend};
use plotters_backend::text_anchor::{HPos, VPos};
use plotters_backend::{BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingErrorKind, FontTransform};

/// A bitmap that draws its own text; everything else is the bitmap's.
pub struct Lettered<'a> {
    bitmap: BitMapBackend<'a>,
    font: FontRef<'static>,
}

type Refusal<'a> = DrawingErrorKind<<BitMapBackend<'a> as DrawingBackend>::ErrorType>;

impl<'a> Lettered<'a> {
    pub fn new(bitmap: BitMapBackend<'a>) -> Self {
        let font = FontRef::try_from_slice(dejavu::sans::regular()).expect("the embedded font is a font");
        Self { bitmap, font }
    }

    /// The glyphs of `text` on one line from (0, 0), the top left; the width and the height of the line.
    fn line(&self, text: &str, size: f64) -> (Vec<Glyph>, f32, f32) {
        let font = self.font.as_scaled(PxScale::from(size as f32));
        let mut glyphs = Vec::new();
        let mut x = 0.0;
        for character in text.chars() {
            let mut glyph = font.scaled_glyph(character);
            glyph.position = point(x, font.ascent());
            x += font.h_advance(glyph.id);
            glyphs.push(glyph);
        }
        (glyphs, x, font.height())
    }
}

impl<'a> DrawingBackend for Lettered<'a> {
    type ErrorType = <BitMapBackend<'a> as DrawingBackend>::ErrorType;

    fn get_size(&self) -> (u32, u32) {
        self.bitmap.get_size()
    }

    fn ensure_prepared(&mut self) -> Result<(), Refusal<'a>> {
        self.bitmap.ensure_prepared()
    }

    fn present(&mut self) -> Result<(), Refusal<'a>> {
        self.bitmap.present()
    }

    fn draw_pixel(&mut self, at: BackendCoord, color: BackendColor) -> Result<(), Refusal<'a>> {
        self.bitmap.draw_pixel(at, color)
    }

    fn draw_line<S: BackendStyle>(
        &mut self,
        from: BackendCoord,
        to: BackendCoord,
        style: &S,
    ) -> Result<(), Refusal<'a>> {
        self.bitmap.draw_line(from, to, style)
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        upper_left: BackendCoord,
        bottom_right: BackendCoord,
        style: &S,
        fill: bool,
    ) -> Result<(), Refusal<'a>> {
        self.bitmap.draw_rect(upper_left, bottom_right, style, fill)
    }

    fn estimate_text_size<S: BackendTextStyle>(&self, text: &str, style: &S) -> Result<(u32, u32), Refusal<'a>> {
        let (_, width, height) = self.line(text, style.size());
        let (width, height) = (width.ceil() as u32, height.ceil() as u32);
        Ok(match style.transform() {
            FontTransform::None | FontTransform::Rotate180 => (width, height),
            FontTransform::Rotate90 | FontTransform::Rotate270 => (height, width),
        })
    }

    fn draw_text<S: BackendTextStyle>(&mut self, text: &str, style: &S, at: BackendCoord) -> Result<(), Refusal<'a>> {
        let (glyphs, width, height) = self.line(text, style.size());
        let left = match style.anchor().h_pos {
            HPos::Left => 0.0,
            HPos::Center => -width / 2.0,
            HPos::Right => -width,
        };
        let top = match style.anchor().v_pos {
            VPos::Top => 0.0,
            VPos::Center => -height / 2.0,
            VPos::Bottom => -height,
        };
        let color = style.color();
        for outlined in glyphs.into_iter().filter_map(|glyph| self.font.outline_glyph(glyph)) {
            let corner = outlined.px_bounds().min;
            let mut covered = Vec::new();
            outlined.draw(|x, y, coverage| covered.push((x, y, coverage)));
            for (x, y, coverage) in covered {
                let x = (left + corner.x).round() as i32 + x as i32;
                let y = (top + corner.y).round() as i32 + y as i32;
                let (dx, dy) = style.transform().transform(x, y);
                let color = BackendColor { alpha: color.alpha * f64::from(coverage), ..color };
                self.bitmap.draw_pixel((at.0 + dx, at.1 + dy), color)?;
            }
        }
        Ok(())
    }
}
