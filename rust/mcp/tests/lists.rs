//! Lists of many pages, and lists without an end.
#![allow(
    clippy::unwrap_used,
    reason = "a test may die of what it did not expect"
)]

mod support;

use backstay_mcp::list::{List, ListError, ListLimits, all};
use backstay_mcp::{CallError, RawJson};
use serde_json::{Value, json};
use support::connected;

/// Lists while the server answers each page by a rule on the page's cursor.
async fn list(limits: ListLimits, page: impl Fn(u64) -> Value) -> Result<Vec<RawJson>, ListError> {
    let (upstream, mut server, ..) = connected().await;
    let serve = async {
        loop {
            let request = server.expect("tools/list").await;
            let number = request["params"]["cursor"].as_str().map_or(0, |cursor| {
                cursor.trim_start_matches("\"\\").parse().unwrap()
            });
            server.answer(&request, page(number)).await;
        }
    };
    tokio::select! { outcome = all(&upstream, List::Tools, limits) => outcome, () = serve => unreachable!() }
}

#[tokio::test]
async fn every_page_is_read_in_order() {
    let page = |number| match number {
        0..200 => {
            json!({"tools": [{"n": number}, {"n": number}], "nextCursor": format!("\"\\{}", number + 1)})
        }
        _ => json!({"tools": []}),
    };
    let items = list(ListLimits::default(), page).await.unwrap();
    assert_eq!(items.len(), 400);
    assert_eq!(items[399].as_str(), "{\"n\":199}");
}

#[tokio::test]
async fn a_cursor_that_leads_in_a_circle_is_found_out() {
    let error = list(
        ListLimits::default(),
        |number| json!({"tools": [], "nextCursor": ((number + 1) % 3).to_string()}),
    )
    .await;
    assert_eq!(
        error,
        Err(ListError::Loop {
            method: "tools/list",
            cursor: "1".into()
        })
    );
}

#[tokio::test]
async fn a_list_without_end_is_cut_off() {
    let limits = ListLimits {
        max_pages: 10,
        ..ListLimits::default()
    };
    let error = list(
        limits,
        |number| json!({"tools": [], "nextCursor": (number + 1).to_string()}),
    )
    .await;
    assert_eq!(
        error,
        Err(ListError::TooLong {
            method: "tools/list",
            limit: 10,
            what: "pages"
        })
    );
    let limits = ListLimits {
        max_items: 10,
        ..ListLimits::default()
    };
    let error = list(
        limits,
        |number| json!({"tools": [1, 2, 3], "nextCursor": (number + 1).to_string()}),
    )
    .await;
    assert_eq!(
        error,
        Err(ListError::TooLong {
            method: "tools/list",
            limit: 10,
            what: "items"
        })
    );
}

#[tokio::test]
async fn errors_of_a_page_are_errors_of_the_list() {
    let error = list(ListLimits::default(), |_| json!({"items": []}))
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "tools/list: the result has no `tools`");
    let error = list(ListLimits::default(), |_| json!(5)).await;
    assert!(matches!(
        error,
        Err(ListError::Call(CallError::BadResult { .. }))
    ));
}
