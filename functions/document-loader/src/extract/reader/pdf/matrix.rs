//! Transformations of the plane (PDF 32000-1, 8.3.3).

use hayro_syntax::object::Number;

/// What a step to the right and a step up become, and the place where both begin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Matrix {
    right: Point,
    up: Point,
    origin: Point,
}

/// A place or a direction on a page.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
}

impl Matrix {
    pub(super) const IDENTITY: Self = Self::translation(0.0, 0.0);

    /// The six numbers as they are written in a PDF.
    pub(super) fn new(numbers: [f64; 6]) -> Self {
        let [right_x, right_y, up_x, up_y, x, y] = numbers;
        Self {
            right: Point {
                x: right_x,
                y: right_y,
            },
            up: Point { x: up_x, y: up_y },
            origin: Point { x, y },
        }
    }

    pub(super) fn of_numbers(numbers: [&Number; 6]) -> Self {
        Self::new(numbers.map(Number::as_f64))
    }

    pub(super) const fn translation(x: f64, y: f64) -> Self {
        Self {
            right: Point { x: 1.0, y: 0.0 },
            up: Point { x: 0.0, y: 1.0 },
            origin: Point { x, y },
        }
    }

    /// First this, then the other.
    pub(super) fn then(self, other: Self) -> Self {
        Self {
            right: other.direct(self.right),
            up: other.direct(self.up),
            origin: other.apply(self.origin),
        }
    }

    /// Where a place comes to be.
    pub(super) fn apply(self, point: Point) -> Point {
        self.direct(point).plus(self.origin)
    }

    /// What a direction becomes.
    pub(super) fn direct(self, point: Point) -> Point {
        Point {
            x: self.right.x * point.x + self.up.x * point.y,
            y: self.right.y * point.x + self.up.y * point.y,
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
