//! Transformations of the plane (PDF 32000-1, 8.3.3).

use hayro_syntax::object::Number;

/// `[a b c d e f]`: the point (x, y) becomes (a·x + c·y + e, b·x + d·y + f).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Matrix([f64; 6]);

/// A place or a direction on a page.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
}

impl Matrix {
    pub(super) const IDENTITY: Self = Self([1.0, 0.0, 0.0, 1.0, 0.0, 0.0]);

    pub(super) fn new(coefficients: [f64; 6]) -> Self {
        Self(coefficients)
    }

    pub(super) fn of_numbers(numbers: [&Number; 6]) -> Self {
        Self(numbers.map(Number::as_f64))
    }

    pub(super) fn translation(x: f64, y: f64) -> Self {
        Self([1.0, 0.0, 0.0, 1.0, x, y])
    }

    /// First this, then the other.
    pub(super) fn then(self, other: Self) -> Self {
        let [a, b, c, d, e, f] = self.0;
        let origin = other.apply(Point { x: e, y: f });
        let x = other.direct(Point { x: a, y: b });
        let y = other.direct(Point { x: c, y: d });
        Self([x.x, x.y, y.x, y.y, origin.x, origin.y])
    }

    /// Where a place comes to be.
    pub(super) fn apply(self, point: Point) -> Point {
        let moved = self.direct(point);
        let [.., e, f] = self.0;
        Point {
            x: moved.x + e,
            y: moved.y + f,
        }
    }

    /// What a direction becomes.
    pub(super) fn direct(self, point: Point) -> Point {
        let [a, b, c, d, ..] = self.0;
        Point {
            x: a * point.x + c * point.y,
            y: b * point.x + d * point.y,
        }
    }
}

impl Point {
    pub(super) fn length(self) -> f64 {
        self.x.hypot(self.y)
    }

    /// In the same direction, of length 1.
    pub(super) fn unit(self) -> Option<Self> {
        let length = self.length();
        (length.is_normal()).then(|| Self {
            x: self.x / length,
            y: self.y / length,
        })
    }

    pub(super) fn dot(self, other: Self) -> f64 {
        self.x * other.x + self.y * other.y
    }

    pub(super) fn minus(self, other: Self) -> Self {
        Self {
            x: self.x - other.x,
            y: self.y - other.y,
        }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            x: self.x + other.x,
            y: self.y + other.y,
        }
    }

    /// A quarter turn to the left.
    pub(super) fn left(self) -> Self {
        Self {
            x: -self.y,
            y: self.x,
        }
    }
}
