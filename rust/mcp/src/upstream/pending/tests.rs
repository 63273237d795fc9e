use std::time::Duration;

use super::*;

fn tag(session: u64, call: u64) -> CallTag {
    CallTag { session, call }
}

const PATIENT: Patience = Patience {
    silence: Duration::from_secs(60),
    total: Duration::from_secs(600),
};

#[tokio::test(start_paused = true)]
async fn a_call_has_its_time_and_no_more() {
    let pending = Pending::new(0);
    let enter = |silence| {
        let patience = Patience {
            silence: Duration::from_secs(silence),
            total: Duration::from_secs(10),
        };
        let entered = pending.enter(None, None, None, patience);
        entered.unwrap_or_else(|_| panic!("closed"))
    };
    let begun = Instant::now();
    let at = |seconds| begun + Duration::from_secs(seconds);
    let (mut long, mut short, later) = (enter(5), enter(2), enter(5));
    let watch = [long.watch, short.watch, later.watch];
    assert_eq!(watch, [Watch::Needed, Watch::Sooner, Watch::Kept]);
    assert_eq!(pending.watched(), Some(at(2)));
    assert_eq!(pending.expire("files.1", at(2)), Some(at(5)));
    let timed_out = |outcome| matches!(outcome, Ok(Err(CallError::TimedOut { .. })));
    assert!(timed_out(short.answer.try_recv()));
    // Until its caller has left, the server may be told.
    assert!(pending.leave(short.id));
    tokio::time::advance(Duration::from_secs(4)).await;
    let token = RawJson::number(long.id);
    assert_eq!(pending.progress(token.as_bytes()).map(drop), Ok(()));
    assert_eq!(pending.expire("files.1", at(5)), Some(at(9)));
    assert!(pending.leave(later.id));
    assert!(long.answer.try_recv().is_err());
    // However often it is heard of, it ends at last.
    for _ in 0..2 {
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(pending.progress(token.as_bytes()).map(drop), Ok(()));
    }
    assert_eq!(pending.expire("files.1", at(10)), None);
    assert!(timed_out(long.answer.try_recv()));
    assert_eq!(pending.answer(token.as_bytes(), gone), Err(Stray::Late));
}

fn gone() -> Result<Reply, CallError> {
    Err(CallError::Cancelled)
}

#[test]
fn ids_tell_their_generation() {
    let (former, ours) = (Pending::new(1), Pending::new(258));
    let old = former
        .enter(None, None, None, PATIENT)
        .unwrap_or_else(|_| panic!("closed"))
        .id;
    let new = ours
        .enter(None, None, None, PATIENT)
        .unwrap_or_else(|_| panic!("closed"))
        .id;
    assert_eq!((old, new), (257, 258));
    assert_eq!(ours.answer(b"257", gone), Err(Stray::FormerGeneration));
    assert_eq!(ours.answer(b"\"258\"", gone), Ok(258));
    assert_eq!(ours.answer(b"258", gone), Err(Stray::Late));
    for nobody in [
        "514",
        "0",
        "2",
        "\"x\"",
        "1.0",
        "-1",
        "99999999999999999999",
    ] {
        assert_eq!(
            ours.answer(nobody.as_bytes(), gone),
            Err(Stray::Unknown),
            "{nobody}"
        );
    }
}

#[test]
fn the_only_session_is_known_while_it_is_the_only_one() {
    let pending = Pending::new(0);
    let enter = |tag| {
        pending
            .enter(tag, None, None, PATIENT)
            .unwrap_or_else(|_| panic!("closed"))
    };
    assert_eq!(pending.only_session(), None);
    let first = enter(Some(tag(1, 1)));
    let _second = enter(Some(tag(1, 2)));
    let _own = enter(None);
    assert_eq!(pending.only_session(), Some(tag(1, 2)));
    let third = enter(Some(tag(2, 1)));
    assert_eq!(pending.only_session(), None);
    assert!(pending.leave(first.id));
    assert_eq!(
        pending.cancel(CallTag {
            session: 2,
            call: 1
        }),
        Some(third.id)
    );
    assert_eq!(pending.only_session(), Some(tag(1, 2)));
}

#[test]
fn a_closed_table_ends_what_waits_and_what_comes() {
    let pending = Pending::new(0);
    let mut waiting = pending
        .enter(None, None, None, PATIENT)
        .unwrap_or_else(|_| panic!("closed"));
    assert!(pending.close("files.1", &CloseReason::StdoutClosed));
    assert!(!pending.close("files.1", &CloseReason::Closed));
    assert!(matches!(
        waiting.answer.try_recv(),
        Ok(Err(CallError::Closed { .. }))
    ));
    assert_eq!(
        pending.enter(None, None, None, PATIENT).err(),
        Some(CloseReason::StdoutClosed)
    );
}
