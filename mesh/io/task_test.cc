// Task, TaskScope, both(), first_of(), cancellation.

#include <algorithm>
#include <string>
#include <vector>

#include "mesh/io/both.h"
#include "mesh/io/event.h"
#include "mesh/io/test_bench.h"
#include "mesh/io/timer.h"

namespace mesh::io {
namespace {

using namespace std::chrono_literals;
using test::make_ring;

Task<Result<int>> answer_after(Ring& ring, Duration wait, int answer) {
  CO_TRY_DO(co_await sleep_for(ring, wait));
  co_return answer;
}

Task<Result<int>> fail_after(Ring& ring, Duration wait) {
  CO_TRY_DO(co_await sleep_for(ring, wait));
  co_return failed(Reason::kProtocol, "test");
}

Task<int> depth(int left) {
  if (left == 0) co_return 0;
  co_return 1 + co_await depth(left - 1);
}

Task<void> call_deep(int& result) { result = co_await depth(50'000); }

TEST_CASE("calls and returns do not pile up on the stack", "[task]") {
  auto ring = make_ring();
  int result = 0;
  ring->run(call_deep(result));
  CHECK(result == 50'000);
}

Task<void> many_at_once(Ring& ring, std::vector<int>& order) {
  TaskScope scope;
  auto one = [](Ring& r, std::vector<int>& to, int wait) -> Task<void> {
    const auto slept = co_await sleep_for(r, wait * 1ms);
    CHECK(slept.has_value());
    to.push_back(wait);
  };
  for (const int wait : {5, 1, 9, 3}) scope.spawn(one(ring, order, wait));
  CHECK(scope.size() == 4);
  co_await scope.join();
  CHECK(scope.size() == 0);
}

TEST_CASE("a scope runs its tasks side by side and joins them all", "[task]") {
  auto ring = make_ring();
  std::vector<int> order;
  ring->run(many_at_once(*ring, order));
  CHECK(order == std::vector{1, 3, 5, 9});
}

Task<void> both_ways(Ring& ring) {
  const auto fine = co_await both(answer_after(ring, 2ms, 1), answer_after(ring, 1ms, 2));
  CHECK(fine.first.value() == 1);
  CHECK(fine.second.value() == 2);

  const TimePoint began = ring.now();
  const auto broken = co_await both(answer_after(ring, 1h, 1), fail_after(ring, 1ms));
  CHECK(broken.first.error().reason == Reason::kCancelled);
  CHECK(broken.second.error().reason == Reason::kProtocol);
  CHECK(ring.now() - began < 10s);

  const auto race = co_await first_of(answer_after(ring, 1h, 1), answer_after(ring, 1ms, 2));
  CHECK(race.winner == Winner::kSecond);
  CHECK(race.first.error().reason == Reason::kCancelled);
  CHECK(race.second.value() == 2);
  const auto tie = co_await first_of(answer_after(ring, 0ms, 1), fail_after(ring, 0ms));
  CHECK(tie.winner == Winner::kFirst);
}

TEST_CASE("both() ends a half-broken pair, first_of() takes the quicker", "[task]") {
  auto ring = make_ring();
  ring->run(both_ways(*ring));
}

Task<void> wait_nested(Ring& ring, std::string& told) {
  TaskScope inner(co_await current_cancel());
  auto sleeper = [](Ring& r, std::string& to) -> Task<void> {
    const auto slept = co_await sleep_for(r, 1h);
    to += slept ? "slept " : "cancelled ";
    const auto again = co_await sleep_for(r, 1h);  // a cancelled scope stays cancelled
    to += again ? "slept " : "cancelled ";
  };
  inner.spawn(sleeper(ring, told));
  inner.spawn(sleeper(ring, told));
  co_await inner.join();
}

Task<void> cancel_outer(Ring& ring, std::string& told) {
  TaskScope outer;
  outer.spawn(wait_nested(ring, told));
  outer.cancel();
  CHECK(told.empty());  // a request, not yet a fact
  co_await outer.join();
  // Whoever starts in a cancelled scope is told at its first wait.
  outer.spawn(wait_nested(ring, told));
  co_await outer.join();
}

TEST_CASE("cancelling a scope reaches the tasks of the scopes inside it", "[task]") {
  auto ring = make_ring();
  std::string told;
  ring->run(cancel_outer(*ring, told));
  CHECK(told == "cancelled cancelled cancelled cancelled cancelled cancelled cancelled cancelled ");
}

Task<void> deadlines(Ring& ring) {
  const auto late = co_await with_deadline(ring, 1ms, "answer", answer_after(ring, 1h, 1));
  CHECK(late.error().reason == Reason::kTimedOut);
  CHECK(std::string(late.error().during) == "answer");
  const auto early = co_await with_deadline(ring, 1h, "answer", answer_after(ring, 1ms, 1));
  CHECK(early.value() == 1);
  const auto never =
      co_await with_deadline(ring, Duration::max(), "answer", answer_after(ring, 1ms, 2));
  CHECK(never.value() == 2);
  const auto over = co_await with_deadline(ring, 0ms, "answer", answer_after(ring, 1h, 1));
  CHECK(over.error().reason == Reason::kTimedOut);
  const auto own = co_await with_deadline(ring, 1h, "answer", fail_after(ring, 1ms));
  CHECK(own.error().reason == Reason::kProtocol);
}

Task<void> cancelled_deadline(Ring& ring, std::optional<Reason>& reason) {
  const auto got = co_await with_deadline(ring, 1h, "answer", answer_after(ring, 2h, 1));
  reason = got.error().reason;
}

Task<void> cancel_under_deadline(Ring& ring, std::optional<Reason>& reason) {
  TaskScope scope;
  scope.spawn(cancelled_deadline(ring, reason));
  scope.cancel();
  co_await scope.join();
}

TEST_CASE("a deadline is told from a cancellation", "[timer]") {
  auto ring = make_ring();
  ring->run(deadlines(*ring));
  std::optional<Reason> reason;
  ring->run(cancel_under_deadline(*ring, reason));
  CHECK(reason == Reason::kCancelled);
}

Task<void> produce(Queue<int>& queue, int count) {
  for (int i = 0; i < count; ++i) {
    const auto pushed = co_await queue.push(i);
    CHECK(pushed.has_value());
    CHECK(queue.size() <= 3);
  }
  queue.close();
}

Task<void> consume(Ring& ring, Queue<int>& queue, int& sum) {
  for (;;) {
    const auto item = co_await queue.pop();
    if (!item) {
      CHECK(item.error().reason == Reason::kPeerClosed);
      co_return;
    }
    sum += *item;
    if (*item % 7 == 0) co_await yield(ring);
  }
}

Task<void> through_a_queue(Ring& ring, int& sum) {
  Queue<int> queue(ring, 3);
  TaskScope scope;
  scope.spawn(produce(queue, 100));
  scope.spawn(consume(ring, queue, sum));
  scope.spawn(consume(ring, queue, sum));
  co_await scope.join();
  CHECK(!queue.try_push(1));
  const auto refused = co_await queue.push(1);
  CHECK(refused.error().reason == Reason::kPeerClosed);
}

TEST_CASE("a queue holds its writer back at its capacity and drains before it ends", "[event]") {
  auto ring = make_ring();
  int sum = 0;
  ring->run(through_a_queue(*ring, sum));
  CHECK(sum == 4950);
}

Task<void> wait_and_note(Event& event, std::string& told, char name) {
  const auto got = co_await event.wait();
  told += got ? name : '!';
}

Task<void> an_event(Ring& ring, std::string& told) {
  Event event(ring);
  TaskScope scope;
  scope.spawn(wait_and_note(event, told, 'a'));
  scope.spawn(wait_and_note(event, told, 'b'));
  event.set();
  event.reset();
  CHECK(told.empty());  // nobody runs inside set()
  scope.spawn(wait_and_note(event, told, 'c'));
  co_await yield(ring);
  co_await yield(ring);
  CHECK(told == "ab");  // woken although it was reset since
  scope.cancel();
  co_await scope.join();
}

TEST_CASE("an event wakes its waiters in order, later, once", "[event]") {
  auto ring = make_ring();
  std::string told;
  ring->run(an_event(*ring, told));
  CHECK(told == "ab!");
}

Task<void> drop_unstarted(Ring& ring) {
  {
    Task<Result<int>> unused = answer_after(ring, 1ms, 1);
  }
  co_return;
}

TEST_CASE("a task that was never started may be dropped", "[task]") {
  auto ring = make_ring();
  ring->run(drop_unstarted(*ring));
}

Task<void> sleep_a_little(Ring& ring) {
  const auto slept = co_await sleep_for(ring, 1ms);
  CHECK(slept.has_value());
}

TEST_CASE("a message posted before or during a run is run once, on the ring", "[ring]") {
  auto ring = make_ring();
  int count = 0;
  ring->post([&] { ++count; });
  ring->post([&] { ring->post([&] { ++count; }); });
  ring->run(sleep_a_little(*ring));
  CHECK(count == 2);
}

Task<void> frame_budget(Ring& ring) {
  internal::largest_frame_bytes = 0;
  const auto slept = co_await sleep_for(ring, 1ms);
  CHECK(slept.has_value());
  const auto got = co_await with_deadline(ring, 1h, "answer", answer_after(ring, 1ms, 1));
  CHECK(got.has_value());
}

TEST_CASE("sleeping and deadlines stay within a frame of 512 bytes", "[budget]") {
  auto ring = make_ring();
  ring->run(frame_budget(*ring));
  INFO("largest frame: " << internal::largest_frame_bytes);
  CHECK(internal::largest_frame_bytes <= 512);
}

// Timers that are armed for all kinds of times fire in the order of their times, then of arming.
class Recorder final : public Timer {
 public:
  Recorder(Ring& ring, std::vector<int>& to, int name) : Timer(ring), to_(to), name_(name) {}

 private:
  void on_time() noexcept override { to_.push_back(name_); }
  std::vector<int>& to_;
  int name_;
};

Task<void> timers_in_order(Ring& ring, std::vector<int>& fired) {
  std::vector<std::unique_ptr<Recorder>> timers;
  const TimePoint begin = ring.now();
  for (int i = 0; i < 200; ++i) {
    timers.push_back(std::make_unique<Recorder>(ring, fired, i));
    timers.back()->arm(begin + 1h);
    timers.back()->arm(begin + (i * 37 % 100) * 10us);
  }
  for (int i = 0; i < 200; i += 3) timers[static_cast<std::size_t>(i)]->disarm();
  const auto slept = co_await sleep_for(ring, 20ms);
  CHECK(slept.has_value());
  for (const auto& timer : timers) CHECK(!timer->armed());
}

TEST_CASE("timers fire in order, and not once they are disarmed", "[timer]") {
  auto ring = make_ring();
  std::vector<int> fired;
  ring->run(timers_in_order(*ring, fired));
  std::vector<int> expected;
  for (int i = 0; i < 200; ++i) {
    if (i % 3 != 0) expected.push_back(i);
  }
  std::ranges::sort(expected, {}, [](int i) { return std::pair(i * 37 % 100, i); });
  CHECK(fired == expected);
}

}  // namespace
}  // namespace mesh::io
