#include "cli/kubernetes/wait.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "cli/json.h"
#include "cli/kubernetes/replicas.h"
#include "mesh/manifest/parse.h"

namespace mesh::cli {

using Json = nlohmann::json;

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kAskAgain{100};

std::vector<std::string> strings(const Json& list) {
  std::vector<std::string> all;
  for (const Json& one : list) all.push_back(text_of(one));
  return all;
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& letter : result) letter = static_cast<char>(std::tolower(letter));
  return result;
}

// "Service", "service", "services", "httproutes.gateway.networking.k8s.io"
bool is_called(const manifest::KnownKind& known, const std::string& word) {
  if (lower(known.name) == word) return true;
  for (const kube::ResourceType& type : kube::types_of(known.kind)) {
    if (type.plural == word || type.plural + "." + type.group == word) return true;
  }
  return false;
}

const kube::ResourceType kConfigMaps{.group = {}, .version = "v1", .plural = "configmaps"};

// Words for kinds that are not read as objects, each with what to wait for instead.
struct Instead {
  std::initializer_list<std::string_view> words;
  const char* what;
};
const Instead kInstead[] = {
    {{"secret", "secrets"},
     "Secrets are not served to nodes: the authority's is in force when `weft ca status` says so"},
    {{"deployment", "deployments", "deploy", "daemonset", "daemonsets", "ds", "statefulset",
      "statefulsets", "sts", "replicaset", "replicasets", "rs", "job", "jobs", "cronjob",
      "cronjobs"},
     "the mesh reads pods, not what makes them: `kubectl rollout status`, then `weft wait` for "
     "all"},
    {{"customresourcedefinition", "customresourcedefinitions", "crd", "crds"},
     "a CustomResourceDefinition is no configuration: `kubectl wait --for=condition=Established`"},
    {{"envoyfilter", "envoyfilters", "sidecar", "sidecars", "wasmplugin", "wasmplugins",
      "workloadgroup", "workloadgroups", "proxyconfig", "proxyconfigs"},
     "objects of this kind have no effect with Weft"},
};

Outcome<ObjectName> unknown_kind(const std::string& word) {
  const std::string name = lower(word.substr(0, word.find('.')));
  for (const Instead& instead : kInstead) {
    if (std::ranges::find(instead.words, name) != instead.words.end()) {
      return problem(word + " cannot be waited for: " + instead.what);
    }
  }
  return problem("objects of kind " + word +
                 " are not read by Weft: nothing of the mesh is in "
                 "them; `weft wait` without an object waits for all that is read");
}

std::vector<kube::ResourceType> types_of(const ObjectName& object) {
  return object.kind ? kube::types_of(*object.kind) : std::vector{kConfigMaps};
}

std::string kind_name(const ObjectName& object) {
  return object.kind ? std::string(manifest::known_kind(*object.kind).name) : "ConfigMap";
}

// resourceVersion, or "" when the object is not there.
Outcome<std::string> version_of(Cluster& cluster, const ObjectName& object) {
  for (const kube::ResourceType& type : types_of(object)) {
    TRY(const Json there, cluster.get(type.path(object.ns, object.name)));
    if (!there.is_null()) return text(member(there, "metadata"), "resourceVersion");
  }
  return "";
}

// Its versions are each replica's own: the snapshot that had the object first is asked for again.
class Question {
 public:
  Question(const ObjectName& object, const std::string& resource_version)
      : page_("/debug/applied?kind=" + url_encoded(kind_name(object)) +
              "&namespace=" + url_encoded(object.ns) + "&name=" + url_encoded(object.name) +
              "&resourceVersion=" + url_encoded(resource_version)) {}

  AppliedAnswer ask(const ControlTarget& control) {
    std::uint64_t& version = versions_[control.name];
    auto answer = read_applied(control.name,
                               control_get(control, page_ + "&version=" + std::to_string(version)));
    if (answer.answered) version = answer.known ? answer.version : 0;
    return answer;
  }

 private:
  std::string page_;
  std::map<std::string, std::uint64_t> versions_;
};

Outcome<int> wait_for(const Session& session, const WaitOptions& options) {
  TRY(Cluster cluster, open_cluster(session));
  TRY(const ObjectName object,
      object_name(options.object, session.ns.empty() ? cluster.default_namespace() : session.ns));
  const std::string name = options.object.front() + " " + object.ns + "/" + object.name;
  const auto deadline = Clock::now() + options.timeout;
  TRY(std::string version, version_of(cluster, object));
  if (!options.deleted && version.empty()) {
    return problem("there is no " + name + "; to wait until nobody has it: --for deleted");
  }
  std::string missing = name + ": it is still there";
  Question question(object, options.deleted ? "" : version);
  for (;;) {
    const bool may_ask = !options.deleted || version.empty();
    const auto controls = controls_of_cluster(cluster, session.weft_ns);
    std::vector<AppliedAnswer> answers;
    if (may_ask && controls) {
      for (const ControlTarget& control : *controls) answers.push_back(question.ask(control));
      for (const AppliedAnswer& one : answers) {
        if (!one.refused.empty()) return problem(name + " is refused: " + one.refused);
        if (!one.not_read.empty()) return problem(name + " is not read: " + one.not_read);
      }
      missing = waiting_for(answers);
      if (missing.empty()) {
        print(session, {{"object", name}, {"resourceVersion", version}, {"applied", true}}, "");
        return kOk;
      }
    }
    if (!controls) missing = controls.error();
    if (Clock::now() >= deadline) break;
    std::this_thread::sleep_for(kAskAgain);
    if (!may_ask) {
      TRY(version, version_of(cluster, object));
    }
  }
  complain("timed out waiting for " + missing);
  return kTimedOut;
}

}  // namespace

int wait_for_object(const Session& session, const WaitOptions& options) {
  if (!asks_cluster(session)) {
    return complain(
        "in a lab there are no versions of single objects: `weft wait` without one "
        "waits until every node has all that is in the folder");
  }
  const auto waited = wait_for(session, options);
  return waited ? *waited : complain(waited.error());
}

Outcome<ObjectName> object_name(const std::vector<std::string>& words, const std::string& ns) {
  std::vector<std::string> parts = words;
  const std::size_t slash = parts.size() == 1 ? parts[0].find('/') : std::string::npos;
  if (slash != std::string::npos) parts = {words[0].substr(0, slash), words[0].substr(slash + 1)};
  if (parts.size() != 2 || parts[1].empty()) return problem("write KIND NAME, or KIND/NAME");
  ObjectName object{.ns = ns, .name = parts[1]};
  if (const std::size_t in = parts[1].find('/'); in != std::string::npos) {
    object.ns = parts[1].substr(0, in);
    object.name = parts[1].substr(in + 1);
  }
  const auto kinds = manifest::known_kinds();
  const auto known =
      std::ranges::find_if(kinds, [&](const auto& one) { return is_called(one, lower(parts[0])); });
  if (known == kinds.end()) {
    constexpr std::string_view kMaps[] = {"configmap", "configmaps", "cm"};
    if (std::ranges::find(kMaps, lower(parts[0])) == std::end(kMaps)) return unknown_kind(parts[0]);
    return object;
  }
  object.kind = known->kind;
  if (!known->namespaced) object.ns.clear();
  return object;
}

AppliedAnswer read_applied(const std::string& replica, const Outcome<std::string>& page) {
  AppliedAnswer answer{.replica = replica, .answered = Done{}};
  if (!page) {
    answer.answered = problem(page.error());
    return answer;
  }
  const Json body = parse_json(*page);
  if (!member(body, "known").is_boolean()) {
    answer.answered = problem(replica + ": /debug/applied: not what was expected");
    return answer;
  }
  answer.known = flag(body, "known");
  const std::string version = text(body, "version");
  std::from_chars(version.data(), version.data() + version.size(), answer.version);
  answer.current = strings(member(body, "current"));
  answer.pending = strings(member(body, "pending"));
  answer.absent = strings(member(body, "absent"));
  answer.refused = text(body, "refused");
  answer.not_read = text(body, "notRead");
  return answer;
}

std::string waiting_for(const std::vector<AppliedAnswer>& answers) {
  std::string list;
  const auto add = [&](const std::string& who) { list += (list.empty() ? "" : ", ") + who; };
  std::set<std::string> current, pending, absent;
  for (const AppliedAnswer& one : answers) {
    if (!one.answered) {
      add(one.answered.error());
      continue;
    }
    if (!one.known) add(one.replica + " (has not read it)");
    current.insert(one.current.begin(), one.current.end());
    pending.insert(one.pending.begin(), one.pending.end());
    absent.insert(one.absent.begin(), one.absent.end());
  }
  for (const std::string& node : pending) add(node);
  for (const std::string& node : absent) {
    if (!current.contains(node) && !pending.contains(node)) add(node + " (not connected)");
  }
  return answers.empty() ? "a replica of control" : list;
}

}  // namespace mesh::cli
