#include "mesh/h2/credit.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh::h2 {
namespace {

using namespace std::chrono_literals;

TEST_CASE("the budget of the process bounds growth") {
  CreditBudget budget;
  budget.growth_max = kCreditInitial;
  {
    StreamCredit a(budget);
    StreamCredit b(budget);
    for (StreamCredit* credit : {&a, &b}) {
      credit->received(kCreditInitial);
      credit->consumed(kCreditInitial);
    }
    CHECK(a.round_trip_ended(1ms, 1ms) == kCreditInitial);
    CHECK(b.round_trip_ended(1ms, 1ms) == 0);
    CHECK(budget.growth() == kCreditInitial);
  }
  CHECK(budget.growth() == 0);
  CHECK(budget.unread() == 0);
}

struct Counting final : BudgetWaiter {
  int called = 0;
  void on_budget_left() override { ++called; }
};

TEST_CASE("the budget of a peer bounds it, and is a part of the worker's") {
  CreditBudget worker;
  worker.unread_max = 3000;
  worker.growth_max = kCreditInitial;
  CreditBudget greedy, modest;
  for (CreditBudget* one : {&greedy, &modest}) {
    one->parent = &worker;
    one->unread_max = 2000;
  }
  CHECK(modest.grow(kCreditInitial));
  CHECK_FALSE(greedy.grow(1));
  modest.shrink(kCreditInitial);
  CHECK(greedy.grow(1));
  greedy.shrink(1);

  greedy.received(2001);
  CHECK(greedy.over());
  CHECK_FALSE(modest.over());
  Counting waiter;
  greedy.wait(waiter);
  modest.received(1000);
  CHECK(modest.over());  // the worker's
  Counting other, third;
  modest.wait(other);
  modest.wait(third);
  modest.forget(third);
  greedy.taken(1);
  CHECK(waiter.called == 1);
  CHECK(other.called == 1);
  CHECK(third.called == 0);
  greedy.taken(2000);
  modest.taken(1000);
  CHECK(waiter.called == 1);
  CHECK(worker.unread() == 0);
}

TEST_CASE("an answer that queued behind the stream's own bytes does not make the path long") {
  CreditBudget budget;
  StreamCredit credit(budget);
  credit.received(kCreditInitial);
  credit.consumed(kCreditInitial);
  CHECK(credit.round_trip_ended(1ms, 20ms) == 0);
  CHECK(credit.round_trip_ended(15ms, 20ms) == kCreditInitial);
}

}  // namespace
}  // namespace mesh::h2
