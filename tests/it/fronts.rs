//! fronts
