//! The lifetime of a token or a lease: when it is renewed and when it is replaced. Arithmetic only.

use std::time::Duration;

use crate::domain::{LONGEST_LIFE, part, scaled};

use super::backoff::unit;
use super::settings::Settings;
use super::work::Lifetime;

/// Nothing is replaced sooner than this after its issue, so that a TTL of zero does not become a loop. For a TTL
/// shorter than three times this, a third of the TTL applies instead.
const SOONEST: Duration = Duration::from_secs(1);

/// Many clients that started together would replace their login tokens together; hand-overs are therefore spread over
/// this share of the token's lifetime …
const HAND_OVER_SHARE: f64 = 0.02;
/// … but over no more than this many of the longest windows: half an hour instead of five minutes.
const HAND_OVER_MOST: u32 = 6;

/// In a window up to this long, replacements are spread over its first quarter only, so that a try that hangs leaves
/// time for the next.
const SHORT: Duration = Duration::from_secs(10);

/// How much servers round a lifetime down: the creation time of a batch token to the second, and likewise the TTL of a
/// lease under it.
const ROUNDING: Duration = Duration::from_secs(2);

/// What can be renewed is renewed after two thirds of this even if it states a longer TTL: daily. A TTL that is stated
/// wrongly then does harm for a day at most, and one that is right costs a request a day.
const LONGEST_BETWEEN_RENEWALS: Duration = Duration::from_secs(36 * 3600);

/// No server means a TTL longer than this (20 years), so it is not believed before a renewal repeats it …
const UNPROVEN: Duration = Duration::from_secs(20 * 365 * 86_400);
/// … which is sent this long after the issue, less up to half by jitter.
const PROOF: Duration = Duration::from_secs(4);

/// The lifetime from the issue to the end that the server last granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LeaseTerm {
    issued: Duration,
    /// The TTL at the issue: no renewal is believed to bring more.
    longest: Duration,
    /// When the request for the last grant (issue or renewal) was sent.
    granted: Duration,
    end: Duration,
    renewability: Renewability,
    overlap: Overlap,
}

/// Whether two of these may be valid at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Overlap {
    /// Only in the hand-over window: a lease with a database user.
    Window,
    /// At any time without harm: a certificate, a signed key, a token.
    Harmless,
    /// A login token: its leases are duplicated only until it is revoked, soon after the login that replaces it.
    HandOver,
}

/// Whether a renewal would extend the lifetime. No answer states `max_ttl`: it shows in renewals that gain nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Renewability {
    Yes,
    /// The last renewal gained less than half of the time that had passed: probably no further one will.
    Stalled,
    No,
}

/// What is needed next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NextStep {
    Renewal,
    Replacement,
}

impl LeaseTerm {
    /// A new lifetime. `requested_at` is when the request was sent: the TTL started on the server no earlier, so this
    /// end is never later than the server's.
    pub(super) fn new(life: Lifetime, requested_at: Duration) -> Self {
        let renewability = if life.renewable { Renewability::Yes } else { Renewability::No };
        let longest = life.ttl.min(LONGEST_LIFE);
        let end = requested_at.saturating_add(longest);
        Self { issued: requested_at, longest, granted: requested_at, end, renewability, overlap: Overlap::Window }
    }

    /// The lifetime of something that cannot be renewed and may be duplicated without harm: it is replaced at two
    /// thirds of its TTL, so that an outage during the remaining third does no harm.
    pub(super) fn harmless(ttl: Duration, requested_at: Duration) -> Self {
        Self { overlap: Overlap::Harmless, ..Self::new(Lifetime { ttl, renewable: false }, requested_at) }
    }

    /// The lifetime of a login token that is revoked after the hand-over.
    pub(super) fn token(life: Lifetime, requested_at: Duration) -> Self {
        Self { overlap: Overlap::HandOver, ..Self::new(life, requested_at) }
    }

    /// Records a renewal that was requested at `requested_at`, and judges by the time gained whether another one is
    /// worthwhile. A longer TTL than at the issue is cut to that: if it is true, this costs renewals as frequent as
    /// before, and if it is not, nothing dies of it. An answer without a TTL leaves the known end.
    pub(super) fn renew(&mut self, life: Lifetime, requested_at: Duration, settings: &Settings) {
        if life.ttl.is_zero() {
            return self.finish();
        }
        let end = requested_at.saturating_add(life.ttl.min(self.longest));
        let gained = end.saturating_sub(self.end);
        let passed = requested_at.saturating_sub(self.granted);
        let was = self.renewability;
        (self.granted, self.end) = (requested_at, end);
        self.renewability = if !life.renewable {
            Renewability::No
        } else if gained >= part(passed, 2) {
            Renewability::Yes
        } else if was == Renewability::Stalled || self.left(requested_at) <= self.hand_over(settings) {
            Renewability::No
        } else {
            // A single short gain may also come from a TTL that an operator lowered; the next renewal shows.
            Renewability::Stalled
        };
    }

    /// Marks it as not renewable; its end stays.
    pub(super) fn finish(&mut self) {
        self.renewability = Renewability::No;
    }

    /// Ends it now.
    pub(super) fn cut(&mut self, now: Duration) {
        self.end = self.end.min(now);
        self.renewability = Renewability::No;
    }

    /// When the last grant was requested, and the TTL that is believed of it.
    pub(super) fn granted(&self) -> (Duration, Duration) {
        (self.granted, self.end.saturating_sub(self.granted))
    }

    /// When it ends, as time since boot.
    pub(super) fn end(&self) -> Duration {
        self.end
    }

    /// The time until the end; zero when it is past.
    pub(super) fn left(&self, now: Duration) -> Duration {
        self.end.saturating_sub(now)
    }

    /// The length of the window: the last tenth of the whole lifetime, at least 2 s, at most 5 min.
    pub(super) fn window(&self, settings: &Settings) -> Duration {
        let life = self.end.saturating_sub(self.issued);
        let window = &settings.window;
        scaled(life, unit(window.share)).min(window.most).max(window.least)
    }

    /// How long before its end it may be replaced: the window, or for a long-lived login token [`HAND_OVER_SHARE`] of
    /// its lifetime.
    fn hand_over(&self, settings: &Settings) -> Duration {
        let window = self.window(settings);
        match self.overlap {
            Overlap::Window | Overlap::Harmless => window,
            Overlap::HandOver => {
                let life = self.end.saturating_sub(self.issued);
                let most = settings.window.most.saturating_mul(HAND_OVER_MOST);
                scaled(life, HAND_OVER_SHARE).min(most).max(window)
            }
        }
    }

    /// When the window opens, less `sooner`, but never right after the issue.
    fn opens(&self, settings: &Settings, sooner: Duration) -> Duration {
        let life = self.end.saturating_sub(self.issued);
        let opens = self.end.saturating_sub(self.window(settings)).saturating_sub(sooner);
        opens.max(self.issued.saturating_add(soonest(life)))
    }

    /// Whether it cannot be renewed and its window is open, or opens within 2 s: servers cut the TTL of a lease to its
    /// token's in whole seconds, so that ends which coincide seem to differ.
    pub(super) fn is_in_window(&self, now: Duration, settings: &Settings) -> bool {
        self.renewability == Renewability::No && now >= self.opens(settings, ROUNDING)
    }

    /// When a renewal that keeps failing is given up in favour of a replacement: at the start of the window of the last
    /// grant.
    pub(super) fn renewal_deadline(&self, settings: &Settings) -> Duration {
        let life = self.end.saturating_sub(self.granted);
        let window = scaled(life, unit(settings.window.share)).min(settings.window.most).max(settings.window.least);
        self.end.saturating_sub(window).max(self.granted.saturating_add(soonest(life)))
    }

    /// When a renewal that fails at `now` is given up in favour of a replacement: at least half of the remaining time
    /// is left for retrying it.
    pub(super) fn renewal_deadline_after(&self, now: Duration, settings: &Settings) -> Duration {
        self.renewal_deadline(settings).max(now.saturating_add(part(self.left(now), 2)))
    }

    /// Whether a renewal may extend it.
    pub(super) fn is_extendable(&self) -> bool {
        self.renewability != Renewability::No
    }

    /// What it needs if the request is sent now. A renewal needs a margin of 1 s (or a tenth of the TTL), because it
    /// must arrive before the end.
    pub(super) fn need(&self, now: Duration) -> NextStep {
        let margin = part(self.end.saturating_sub(self.granted), 10).min(Duration::from_secs(1));
        if self.renewability == Renewability::No || self.left(now) <= margin {
            NextStep::Replacement
        } else {
            NextStep::Renewal
        }
    }

    /// When the next request is due. A renewal, and the replacement of what may be duplicated: at two thirds of the TTL
    /// less up to a tenth; a renewal also after a day, and soon after the issue if the TTL is [`UNPROVEN`]. Other replacements: in the first half of the window (first quarter of a short one), so that
    /// the rest is left for retries. The hand-over of a long-lived login token: at a random moment before that half,
    /// once its end is known. What turns out to be non-renewable inside its window is due at once.
    pub(super) fn due(&self, settings: &Settings, jitter: f64) -> Duration {
        if self.renewability == Renewability::No && self.overlap != Overlap::Harmless {
            let window = self.window(settings);
            // A longer spread may have begun before the renewal that showed the end: only the rest of it is used.
            let sooner = self.hand_over(settings).saturating_sub(window);
            let opens = self.opens(settings, sooner);
            let first = if sooner.is_zero() { opens } else { opens.max(self.granted) };
            let spread = if window > SHORT { part(window, 2) } else { part(window, 4) };
            let last = self.end.saturating_sub(window.saturating_sub(spread)).max(first);
            first.saturating_add(scaled(last.saturating_sub(first), unit(jitter)))
        } else {
            let life = self.end.saturating_sub(self.granted);
            let is_proven = life <= UNPROVEN || self.granted > self.issued;
            let due = match self.renewability {
                Renewability::No => scaled(life, share_before_renewal(settings, jitter)),
                _ if is_proven => scaled(life.min(LONGEST_BETWEEN_RENEWALS), share_before_renewal(settings, jitter)),
                _ => scaled(PROOF, 1.0 - unit(jitter) / 2.0),
            };
            self.granted.saturating_add(due.max(soonest(life)))
        }
    }
}

/// The share of a TTL after which it is renewed.
fn share_before_renewal(settings: &Settings, jitter: f64) -> f64 {
    unit(settings.renew_after - unit(jitter) * settings.spread)
}

/// The shortest time between the issue and a replacement, for this lifetime.
fn soonest(life: Duration) -> Duration {
    if life < SOONEST { SOONEST } else { SOONEST.min(part(life, 3)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn renewable(ttl: u64) -> Lifetime {
        Lifetime { ttl: seconds(ttl), renewable: true }
    }

    #[test]
    fn a_lease_is_renewed_at_two_thirds_of_its_life_less_up_to_a_tenth() {
        let term = LeaseTerm::new(renewable(3600), seconds(100));
        assert_eq!(term.due(&Settings::default(), 0.0), seconds(100 + 2400));
        assert_eq!(term.due(&Settings::default(), 1.0), seconds(100 + 2400 - 360));
        assert_eq!(term.need(seconds(2500)), NextStep::Renewal);
        assert_eq!(term.need(seconds(3699)), NextStep::Replacement);
    }

    #[test]
    fn what_is_not_renewable_is_replaced_in_its_last_tenth_within_2_s_and_5_min() {
        let due = |ttl, jitter| {
            LeaseTerm::new(Lifetime { ttl: seconds(ttl), renewable: false }, Duration::ZERO)
                .due(&Settings::default(), jitter)
        };
        assert_eq!(due(600, 0.0), seconds(540));
        assert_eq!(due(600, 1.0), seconds(570));
        assert_eq!(due(10, 0.0), seconds(8));
        assert_eq!(due(86_400, 0.0), seconds(86_100));
        assert_eq!(due(0, 0.0), seconds(1));
        assert!(due(u64::MAX, 0.5) > seconds(86_400));
    }

    #[test]
    fn lives_without_end_and_clocks_at_theirs_are_only_long() {
        let settings = Settings::default();
        for requested_at in [Duration::ZERO, LONGEST_LIFE, Duration::MAX - seconds(1), Duration::MAX] {
            for ttl in [Duration::ZERO, LONGEST_LIFE, seconds(u64::MAX), Duration::MAX] {
                for is_renewable in [true, false] {
                    let life = Lifetime { ttl, renewable: is_renewable };
                    let mut term = LeaseTerm::new(life, requested_at);
                    term.renew(life, Duration::MAX, &settings);
                    term.renew(life, requested_at, &settings);
                    for now in [Duration::ZERO, requested_at, Duration::MAX] {
                        let _ = (term.need(now), term.is_in_window(now, &settings), term.left(now));
                        assert!(term.due(&settings, 0.5) >= requested_at.min(term.end()));
                    }
                    term.cut(requested_at);
                    let _ = term.due(&settings, f64::NAN);
                }
            }
        }
    }

    #[test]
    fn what_may_live_twice_is_replaced_at_two_thirds_whatever_the_window() {
        let settings = Settings::default();
        let month = LeaseTerm::harmless(seconds(30 * 86_400), seconds(100));
        assert_eq!(month.due(&settings, 0.0), seconds(100 + 20 * 86_400));
        assert_eq!(month.due(&settings, 1.0), seconds(100 + 17 * 86_400));
        assert_eq!(month.need(seconds(200)), NextStep::Replacement);
        let half = Settings { renew_after: 0.5, ..settings };
        assert_eq!(month.due(&half, 0.0), seconds(100 + 15 * 86_400));
        assert!(LeaseTerm::harmless(Duration::ZERO, Duration::ZERO).due(&settings, 0.5) >= seconds(1));
    }

    #[test]
    fn a_life_of_a_few_seconds_is_replaced_while_a_good_part_of_it_is_left() {
        for ttl in 1..=10 {
            for jitter in [0.0, 0.5, 1.0] {
                let life = Lifetime { ttl: seconds(ttl), renewable: false };
                let due = LeaseTerm::new(life, Duration::ZERO).due(&Settings::default(), jitter);
                assert!(
                    due >= seconds(ttl) / 3 && due <= seconds(ttl) - seconds(ttl).min(seconds(2)) / 2,
                    "{ttl} {due:?}"
                );
            }
        }
    }

    #[test]
    fn a_window_is_as_good_as_open_two_seconds_before_but_never_for_a_whole_life() {
        let settings = Settings::default();
        let term = |ttl| LeaseTerm::new(Lifetime { ttl: seconds(ttl), renewable: false }, Duration::ZERO);
        assert!(term(14).is_in_window(seconds(10), &settings) && !term(14).is_in_window(seconds(9), &settings));
        for ttl in 1..=3 {
            assert!(!term(ttl).is_in_window(seconds(ttl) / 4, &settings), "a login would make the next one due");
        }
    }

    #[test]
    fn what_is_at_its_end_is_replaced_at_once_however_recent_its_renewal() {
        let settings = Settings::default();
        let mut term = LeaseTerm::new(renewable(4), Duration::ZERO);
        term.renew(Lifetime { ttl: seconds(2), renewable: true }, seconds(4), &settings);
        assert_eq!(term.end, seconds(6));
        term.renew(
            Lifetime { ttl: Duration::from_millis(1100), renewable: true },
            Duration::from_millis(4900),
            &settings,
        );
        assert_eq!(term.renewability, Renewability::No);
        assert!(term.due(&settings, 0.99) <= seconds(5), "{:?}", term.due(&settings, 0.99));
    }

    #[test]
    fn max_ttl_is_learnt_from_renewals_that_bring_nothing() {
        let settings = Settings::default();
        let mut term = LeaseTerm::new(renewable(3600), Duration::ZERO);
        term.renew(renewable(3600), seconds(2400), &settings);
        assert_eq!(term.renewability, Renewability::Yes);
        term.renew(renewable(1500), seconds(4800), &settings);
        assert_eq!((term.renewability, term.end), (Renewability::Stalled, seconds(6300)));
        term.renew(renewable(500), seconds(5800), &settings);
        assert_eq!((term.renewability, term.end), (Renewability::No, seconds(6300)));
        assert_eq!(term.due(&settings, 0.0), seconds(6000));
    }

    #[test]
    fn a_stalled_renewal_inside_the_window_is_the_last() {
        let settings = Settings::default();
        let mut term = LeaseTerm::new(renewable(60), Duration::ZERO);
        term.renew(renewable(60), seconds(40), &settings);
        term.renew(renewable(8), seconds(80), &settings);
        assert_eq!(term.renewability, Renewability::No);
        assert!(term.is_in_window(seconds(81), &settings));
    }

    #[test]
    fn a_lower_ttl_set_by_an_operator_is_not_an_end() {
        let settings = Settings::default();
        let mut term = LeaseTerm::new(renewable(3600), Duration::ZERO);
        term.renew(renewable(1200), seconds(2400), &settings);
        assert_eq!(term.renewability, Renewability::Stalled);
        term.renew(renewable(1200), seconds(3200), &settings);
        assert_eq!(term.renewability, Renewability::Yes);
    }
}
