//! Random numbers for jitter, never for keys.

/// A random number from 0 up to, but not including, 1.
pub fn unit() -> f64 {
    // Without the kernel's randomness (an unusual seccomp profile) the largest value is used: every wait is the
    // longest, which is safe.
    getrandom::u32().map_or(1.0 - f64::EPSILON, |number| f64::from(number) / 4_294_967_296.0)
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_stays_below_one_and_differs() {
        let numbers: Vec<f64> = (0..64).map(|_| super::unit()).collect();
        assert!(numbers.iter().all(|number| (0.0..1.0).contains(number)));
        assert!(numbers.windows(2).any(|pair| (pair[0] - pair[1]).abs() > f64::EPSILON));
    }
}
