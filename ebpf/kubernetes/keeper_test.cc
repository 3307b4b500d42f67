// Who is in the mesh when, as a script: what the API server, the runtime and ztunnel do, and what
// comes of it.

#include "ebpf/kubernetes/keeper.h"

#include <fcntl.h>

#include <algorithm>
#include <catch2/catch_test_macros.hpp>

namespace mesh::ebpf {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

UniqueFd any_descriptor() { return UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }

PodFacts running(const std::string& uid) {
  return {.uid = uid,
          .name = "pod-" + uid,
          .ns = "shop",
          .service_account = "web",
          .ips = {*net::IpAddress::parse("10.244.1.5")}};
}

PodFacts starting(const std::string& uid) {
  PodFacts pod = running(uid);
  pod.ips.clear();
  return pod;
}

class Fake final : public Enrolments, public PodWriter {
 public:
  void enrol(PodInfo pod, UniqueFd, std::function<void(Enrolled)> done) override {
    log += "enrol " + pod.uid + ";";
    const std::string uid = pod.uid;
    if (outcome.captured) pods.insert_or_assign(uid, std::move(pod));
    done(outcome);
  }
  void remove(const std::string& uid, std::function<void(std::string)> done) override {
    log += "remove " + uid + ";";
    pods.erase(uid);
    let_go_ones.erase(uid);
    done({});
  }
  void let_go(const std::string& uid) override {
    log += "let go " + uid + ";";
    let_go_ones.insert(pods.extract(uid));
  }
  std::vector<const PodInfo*> all_let_go() const override {
    std::vector<const PodInfo*> all;
    for (const auto& [uid, pod] : let_go_ones) all.push_back(&pod);
    return all;
  }
  const PodInfo* enrolled(const std::string& uid) const override {
    const auto found = pods.find(uid);
    return found == pods.end() ? nullptr : &found->second;
  }
  std::vector<const PodInfo*> all_enrolled() const override {
    std::vector<const PodInfo*> all;
    for (const auto& [uid, pod] : pods) all.push_back(&pod);
    return all;
  }
  bool has_ztunnel() const override { return ztunnel; }
  void annotate(const PodFacts& pod, bool enrolled) override {
    log += (enrolled ? "annotate " : "plain ") + pod.uid + ";";
  }
  void warn(const PodFacts& pod, std::string_view reason, std::string_view) override {
    log += "warn " + pod.uid + " " + std::string(reason) + ";";
  }
  std::string take() { return std::exchange(log, {}); }

  std::map<std::string, PodInfo> pods, let_go_ones;
  bool ztunnel = true;
  Enrolled outcome{.ztunnel = true, .captured = true};
  std::string log;
};

struct Scene {
  Scene()
      : keeper({"kube-system"}, fake, fake, [this](const std::set<std::string>& uids) {
          std::map<std::string, UniqueFd> found;
          for (const std::string& uid : uids)
            if (has_process) found.emplace(uid, any_descriptor());
          return found;
        }) {
    keeper.set_namespaces({{.name = "shop", .mode = DataplaneMode::kAmbient},
                           {.name = "plain", .mode = DataplaneMode::kUnset}});
    keeper.set_pods({});
    pass(seconds(0));
  }
  void pass(Clock::duration time) {
    now += time;
    keeper.advance(now);
  }
  // Asks as the CNI plugin does; the answer comes into `answer`.
  void ask(Operation operation, const std::string& uid, const std::string& container = "c1") {
    answer.clear();
    AgentRequest request{.operation = operation};
    request.pod.name = "pod-" + uid;
    request.pod.ns = "shop";
    request.pod.uid = uid;
    request.pod.container_id = container;
    request.pod.ips = {*net::IpAddress::parse("10.244.1.5")};
    std::vector<UniqueFd> descriptors;
    descriptors.push_back(any_descriptor());
    keeper.handle(
        std::move(request), std::move(descriptors),
        [this](const std::string& text) { answer = text; }, now);
    keeper.advance(now);
  }
  bool said(std::string_view part) const { return answer.find(part) != std::string::npos; }

  Fake fake;
  bool has_process = true;
  Keeper keeper;
  Clock::time_point now = Clock::time_point(seconds(1000));
  std::string answer;
};

constexpr const char* kYes = R"({"enrolled":true,"ok":true})";
constexpr const char* kLeft = R"({"enrolled":false,"ok":true})";

TEST_CASE("keeper: a pod that starts in a labelled namespace is enrolled, and says so") {
  Scene scene;
  scene.keeper.put_pod(starting("a"));
  scene.ask(Operation::kCniAdd, "a");
  CHECK(scene.answer == kYes);
  CHECK(scene.fake.take() == "enrol a;annotate a;");
  CHECK(scene.fake.pods.at("a").service_account == "web");
  CHECK(scene.fake.pods.at("a").container_id == "c1");
  CHECK(scene.fake.pods.at("a").ips.size() == 1);

  PodFacts annotated = running("a");
  annotated.annotated = true;
  scene.keeper.put_pod(annotated);
  scene.pass(seconds(60));
  CHECK(scene.fake.take().empty());

  scene.ask(Operation::kCniCheck, "a");
  CHECK(scene.answer == R"({"ok":true})");
  scene.ask(Operation::kCniDel, "a");
  CHECK(scene.answer == R"({"ok":true})");
  CHECK(scene.fake.pods.empty());
}

TEST_CASE("keeper: ADD waits for the API server's word, and fails without it") {
  Scene scene;
  scene.ask(Operation::kCniAdd, "a");
  CHECK(scene.answer.empty());
  scene.pass(seconds(7));
  CHECK(scene.answer.empty());
  scene.keeper.put_pod(starting("a"));
  scene.pass(milliseconds(1));
  CHECK(scene.answer == kYes);

  scene.ask(Operation::kCniAdd, "b");
  CHECK(scene.keeper.wake() <= scene.now + seconds(8));
  scene.pass(seconds(8));
  CHECK(scene.said(R"("retry":true)"));
  CHECK(scene.said("the API server has not told"));
  CHECK(!scene.fake.pods.contains("b"));
}

TEST_CASE("keeper: a former pod of the same name is not the one that starts") {
  Scene scene;
  PodFacts former = starting("old");
  former.name = "pod-new";
  former.service_account = "admin";
  scene.keeper.put_pod(former);
  scene.ask(Operation::kCniAdd, "new");
  CHECK(scene.answer.empty());
  scene.keeper.put_pod(starting("new"));
  scene.pass(milliseconds(1));
  CHECK(scene.fake.pods.at("new").service_account == "web");
}

TEST_CASE("keeper: ADD waits for a ztunnel, then fails with an event on the pod, one a minute") {
  Scene scene;
  scene.fake.ztunnel = false;
  scene.keeper.put_pod(starting("a"));
  scene.ask(Operation::kCniAdd, "a");
  CHECK(scene.answer.empty());
  scene.pass(seconds(4));
  scene.fake.ztunnel = true;
  scene.keeper.touch();
  scene.pass(milliseconds(1));
  CHECK(scene.answer == kYes);
  scene.fake.take();

  scene.fake.ztunnel = false;
  scene.keeper.put_pod(starting("b"));
  for (int tries = 0; tries < 3; ++tries) {
    scene.ask(Operation::kCniAdd, "b");
    scene.pass(seconds(5));
    CHECK(scene.said("this node has no ztunnel"));
    CHECK(scene.said(R"("retry":true)"));
  }
  const std::string log = scene.fake.take();
  CHECK(log.find("warn b WaitingForZtunnel") != std::string::npos);
  CHECK(log.find("warn b WaitingForZtunnel") == log.rfind("warn b WaitingForZtunnel"));
  scene.pass(seconds(60));
  scene.ask(Operation::kCniAdd, "b");
  scene.pass(seconds(5));
  CHECK(scene.fake.take().find("warn b WaitingForZtunnel") != std::string::npos);
}

TEST_CASE("keeper: an ADD that does not end in ztunnel's hands leaves nothing") {
  const Enrolled failures[] = {{.error = "no Ethernet interface"},
                               {.captured = true},  // ztunnel went away
                               {.error = "ztunnel refused it", .captured = true}};
  for (const Enrolled& failure : failures) {
    Scene scene;
    scene.fake.outcome = failure;
    scene.keeper.put_pod(starting("a"));
    scene.ask(Operation::kCniAdd, "a");
    CHECK(scene.answer.empty() == failure.captured);
    if (failure.captured) scene.pass(seconds(5));
    CHECK(scene.said(R"("ok":false)"));
    CHECK(scene.said(R"("retry":true)"));
    CHECK(scene.fake.pods.empty());
    CHECK(scene.fake.take().find("warn a MeshEnrolmentFailed") != std::string::npos);
  }
}

TEST_CASE("keeper: an ADD that a ztunnel refuses as it ends goes to the next one") {
  Scene scene;
  scene.fake.outcome = {.error = "ztunnel refused it: draining", .captured = true};
  scene.keeper.put_pod(starting("a"));
  scene.ask(Operation::kCniAdd, "a");
  for (int i = 0; i < 4; ++i) scene.pass(milliseconds(250));
  CHECK(scene.answer.empty());
  CHECK(scene.fake.pods.empty());
  scene.fake.ztunnel = false;
  scene.pass(seconds(2));
  scene.fake.ztunnel = true;
  scene.fake.outcome = {.ztunnel = true, .captured = true};
  scene.keeper.touch();
  scene.pass(milliseconds(250));
  CHECK(scene.said(R"("ok":true)"));
  CHECK(scene.fake.pods.contains("a"));
  CHECK(scene.fake.take().find("warn") == std::string::npos);
}

TEST_CASE("keeper: who does not belong into the mesh is left alone") {
  PodFacts host = starting("host"), none = starting("none"), plain = starting("plain");
  host.host_network = true;
  none.mode = DataplaneMode::kNone;
  plain.ns = "plain";
  PodFacts sidecar = starting("sidecar"), excluded = starting("excluded");
  sidecar.sidecar = true;
  excluded.ns = "kube-system";
  excluded.mode = DataplaneMode::kAmbient;
  Scene scene;
  scene.keeper.put_namespace({.name = "kube-system", .mode = DataplaneMode::kAmbient});
  for (const PodFacts& pod : {host, none, sidecar}) {
    scene.keeper.put_pod(pod);
    scene.ask(Operation::kCniAdd, pod.uid);
    INFO(pod.uid);
    CHECK(scene.answer == kLeft);
  }
  scene.keeper.put_pod(plain);
  scene.keeper.put_pod(excluded);
  scene.pass(seconds(1));
  CHECK(scene.fake.take().empty());
}

TEST_CASE("keeper: labels that change enrol and unenrol pods that run") {
  Scene scene;
  PodFacts pod = running("a");
  pod.ns = "plain";
  scene.keeper.put_pod(pod);
  scene.pass(seconds(1));
  CHECK(scene.fake.take().empty());

  scene.keeper.put_namespace({.name = "plain", .mode = DataplaneMode::kAmbient});
  scene.pass(milliseconds(1));
  CHECK(scene.fake.take() == "enrol a;annotate a;");
  pod.annotated = true;
  pod.mode = DataplaneMode::kNone;
  scene.keeper.put_pod(pod);
  scene.pass(seconds(10));
  scene.pass(milliseconds(1));
  CHECK(scene.fake.take() == "let go a;plain a;");
  pod.annotated = false;
  pod.mode = DataplaneMode::kUnset;
  scene.keeper.put_pod(pod);
  scene.pass(seconds(10));
  CHECK(scene.fake.take() == "enrol a;annotate a;");
  scene.keeper.remove_namespace("plain");
  scene.pass(seconds(10));
  CHECK(scene.fake.take().starts_with("let go a;"));
  // Its last connections are not waited for when it has ended.
  scene.keeper.remove_pod("a");
  scene.pass(seconds(1));
  CHECK(scene.fake.take() == "remove a;");
}

TEST_CASE("keeper: a running pod whose processes are not found is tried again, ever later") {
  Scene scene;
  scene.has_process = false;
  scene.keeper.put_pod(running("a"));
  scene.pass(milliseconds(1));
  CHECK(scene.fake.take().empty());
  CHECK(scene.keeper.wake() == scene.now + milliseconds(250));
  scene.pass(milliseconds(250));
  CHECK(scene.keeper.wake() == scene.now + milliseconds(500));
  for (int i = 0; i < 10; ++i) scene.pass(scene.keeper.wake() - scene.now);
  CHECK(scene.keeper.wake() == scene.now + seconds(15));
  scene.has_process = true;
  scene.pass(seconds(15));
  CHECK(scene.fake.take() == "enrol a;annotate a;");
}

TEST_CASE("keeper: a running pod is not cut off while the node has no ztunnel") {
  Scene scene;
  scene.fake.ztunnel = false;
  scene.keeper.put_pod(running("a"));
  scene.pass(seconds(1));
  CHECK(scene.fake.take() == "warn a WaitingForZtunnel;");
  scene.fake.ztunnel = true;
  scene.keeper.touch();
  scene.pass(milliseconds(1));
  CHECK(scene.fake.take() == "enrol a;annotate a;");
}

TEST_CASE("keeper: what was enrolled before a restart and is gone by now is removed") {
  Fake fake;
  fake.pods["gone"].uid = "gone";
  fake.pods["ended"].uid = "ended";
  fake.pods["here"].uid = "here";
  Keeper keeper({}, fake, fake,
                [](const std::set<std::string>&) { return std::map<std::string, UniqueFd>(); });
  const Clock::time_point now(seconds(1000));
  keeper.advance(now);
  CHECK(fake.take().empty());  // nothing is known yet: nothing is done
  PodFacts ended = running("ended"), here = running("here");
  ended.finished = true;
  here.annotated = true;
  keeper.set_pods({ended, here});
  keeper.advance(now);
  CHECK(fake.take().empty());  // nor with half of it
  keeper.set_namespaces({{.name = "shop", .mode = DataplaneMode::kAmbient}});
  keeper.advance(now);
  CHECK(fake.take() == "remove ended;remove gone;");
  CHECK(fake.pods.contains("here"));
}

TEST_CASE("keeper: the DEL of a former sandbox does not end the next") {
  Scene scene;
  scene.keeper.put_pod(starting("a"));
  scene.ask(Operation::kCniAdd, "a", "c1");
  scene.ask(Operation::kCniAdd, "a", "c2");
  CHECK(scene.answer == kYes);
  scene.ask(Operation::kCniDel, "a", "c1");
  CHECK(scene.answer == R"({"ok":true})");
  CHECK(scene.fake.pods.contains("a"));
  scene.ask(Operation::kCniDel, "a", "c2");
  CHECK(scene.fake.pods.empty());
  // Its facts are still those of a running pod; it does not come back by them.
  scene.keeper.put_pod(running("a"));
  scene.fake.take();
  scene.pass(seconds(1));
  CHECK(scene.fake.take().find("enrol") == std::string::npos);
  scene.ask(Operation::kCniAdd, "a", "c3");
  CHECK(scene.answer == kYes);
}

TEST_CASE("keeper: GC removes sandboxes that the runtime no longer has, and no others") {
  Scene scene;
  for (const char* uid : {"a", "b"}) {
    scene.keeper.put_pod(starting(uid));
    scene.ask(Operation::kCniAdd, uid, std::string("of-") + uid);
  }
  scene.keeper.put_pod(running("live"));  // enrolled by its label: its sandbox's id is not known
  scene.pass(milliseconds(1));
  CHECK(scene.fake.pods.size() == 3);
  AgentRequest request{.operation = Operation::kCniGc, .container_ids = {"of-b"}};
  std::string answer;
  scene.keeper.handle(
      std::move(request), {}, [&](const std::string& text) { answer = text; }, scene.now);
  CHECK(answer == R"({"ok":true})");
  CHECK(!scene.fake.pods.contains("a"));
  CHECK(scene.fake.pods.contains("b"));
  CHECK(scene.fake.pods.contains("live"));
}

TEST_CASE("keeper: nothing is remembered of pods that are gone") {
  Scene scene;
  scene.fake.ztunnel = false;
  for (int i = 0; i < 100; ++i) {
    const std::string uid = "u" + std::to_string(i);
    scene.keeper.put_pod(starting(uid));
    scene.fake.ztunnel = i % 2 == 0;
    scene.ask(Operation::kCniAdd, uid);
    scene.pass(seconds(6));
    scene.ask(Operation::kCniDel, uid);
    scene.keeper.remove_pod(uid);
    scene.pass(milliseconds(1));
  }
  const auto counts = scene.keeper.counts();
  CHECK(counts.pods == 0);
  CHECK(counts.waiting == 0);
  CHECK(counts.notes == 0);
}

}  // namespace
}  // namespace mesh::ebpf
