#include "mesh/io/worker.h"

#include <atomic>

#include "mesh/io/event.h"
#include "mesh/io/test_bench.h"
#include "mesh/io/timer.h"

namespace mesh::io {
namespace {

using test::make_ring;

struct Counter {
  std::atomic<int> seen = 0;
  Event* stop = nullptr;
};

Task<void> count_until_stopped(Ring& ring, Counter& counter) {
  Event stop(ring);
  counter.stop = &stop;
  const auto stopped = co_await stop.wait();
  CHECK(stopped.has_value());
}

Task<void> ask_all(Ring& ring, std::vector<std::unique_ptr<Worker>>& workers,
                   std::vector<Counter>& counters, int& answers) {
  Event all_answered(ring);
  for (std::size_t i = 0; i < workers.size(); ++i) {
    for (int message = 0; message < 1000; ++message) {
      const bool taken = workers[i]->post([&, i](Ring&) {
        if (++counters[i].seen < 1000) return;
        ring.post([&] {
          if (++answers == static_cast<int>(workers.size())) all_answered.set();
        });
      });
      CHECK(taken);
    }
  }
  const auto done = co_await all_answered.wait();
  CHECK(done.has_value());
}

TEST_CASE("messages to workers and back all arrive", "[worker]") {
  auto ring = make_ring();
  std::vector<Counter> counters(3);
  std::vector<std::unique_ptr<Worker>> workers;
  for (Counter& counter : counters) {
    auto worker = Worker::start(
        "test", {}, [&counter](Ring& own) { return count_until_stopped(own, counter); });
    REQUIRE(worker.has_value());
    workers.push_back(*std::move(worker));
  }
  int answers = 0;
  ring->run(ask_all(*ring, workers, counters, answers));
  CHECK(answers == 3);
  for (std::size_t i = 0; i < workers.size(); ++i) {
    CHECK(workers[i]->post([&counter = counters[i]](Ring&) { counter.stop->set(); }));
    workers[i]->join();
    CHECK(counters[i].seen == 1000);
    CHECK(!workers[i]->post([](Ring&) {}));
  }
}

}  // namespace
}  // namespace mesh::io
