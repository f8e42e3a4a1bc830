//! The way back where rules or groups are not as they should be.

use super::*;

#[test]
fn a_test_rule_that_somebody_altered_does_not_keep_production_traffic_from_going_back() {
    let mut look = Look { production: weights(500, 500), ..baking_for(30) }.rejected();
    look.test.push((OTHER.to_owned(), 1));
    let all = [(GREEN.to_owned(), 0), (GROUP.to_owned(), 100)];
    assert_reweighs(&look.given_back(), PRODUCTION, &all);
    look.production = weights(100, 0);
    look.gave_back();
    assert_eq!(look.call(), Call::DeleteTaskSet { input: about_set(2, "taskSet") });
    look.production.push((OTHER.to_owned(), 1));
    assert!(look.waits().contains("which is not the service's"), "{}", look.waits());
}
