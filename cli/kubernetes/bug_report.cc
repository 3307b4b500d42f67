#include "cli/kubernetes/bug_report.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <nlohmann/json.hpp>

#include "cli/analyze/finding.h"
#include "cli/json.h"
#include "cli/kubernetes/check.h"
#include "cli/kubernetes/replicas.h"
#include "cli/lab/files.h"
#include "mesh/manifest/parse.h"

namespace mesh::cli {

using Json = nlohmann::json;

namespace {

constexpr const char* kLogBytes = "4194304";

class Report {
 public:
  explicit Report(Cluster& cluster) : cluster_(cluster) {}

  void page(const std::string& name, const std::string& path) {
    auto text = cluster_.page(path);
    if (text) {
      files[name] = std::move(*text);
    } else {
      files["problems.txt"] += name + ": " + text.error() + "\n";
    }
  }

  void objects(const std::string& name, const std::string& path) {
    auto list = cluster_.list(path);
    if (!list) {
      files["problems.txt"] += name + ": " + list.error() + "\n";
      return;
    }
    for (Json& one : *list) {
      if (member(one, "metadata").is_object()) one["metadata"].erase("managedFields");
    }
    files[name] = to_text(Json(*list), 1) + "\n";
  }

  std::map<std::string, std::string> files;

 private:
  Cluster& cluster_;
};

// Each container's log, and what it said before it was started again.
void add_logs(const Json& pod, const std::string& name, Report& report) {
  const std::string path = kPods.path(namespace_of(pod), name_of(pod), "log");
  const Json& containers = member(member(pod, "spec"), "containers");
  for (const Json& container : containers) {
    const std::string of = text(container, "name");
    const std::string file = "logs/" + name + (containers.size() > 1 ? "." + of : "");
    report.page(file + ".log",
                kube::with_query(path, {{"container", of}, {"limitBytes", kLogBytes}}));
    for (const Json& status : member(member(pod, "status"), "containerStatuses")) {
      if (text(status, "name") != of || text(status, "restartCount") == "0") continue;
      report.page(file + ".previous.log",
                  kube::with_query(
                      path, {{"container", of}, {"limitBytes", kLogBytes}, {"previous", "true"}}));
    }
  }
}

// Logs, and what the proxies among them are configured with: they show no key.
void add_pods(Cluster& cluster, const std::string& ns, const std::string& selector,
              Report& report) {
  const auto pods = cluster.list(kPods.path(ns), selector);
  if (!pods) {
    report.files["problems.txt"] += "pods with " + selector + ": " + pods.error() + "\n";
    return;
  }
  for (const Json& pod : *pods) {
    const bool is_waypoint = ns.empty();
    const std::string short_name =
        (is_waypoint ? namespace_of(pod) + "." : std::string()) + name_of(pod);
    add_logs(pod, short_name, report);
    if (label(pod, "app") != "ztunnel" && !is_waypoint) continue;
    const auto dump = cluster.pod_page(
        {.ns = namespace_of(pod), .pod = name_of(pod), .port = 15000, .path = "/config_dump"});
    report.files[(is_waypoint ? "waypoint/" : "ztunnel/") + short_name + ".json"] =
        dump ? *dump : dump.error();
  }
}

// What each replica of control says of itself.
void add_controls(Cluster& cluster, const std::string& ns, Report& report) {
  const auto controls = controls_of_cluster(cluster, ns);
  if (!controls) {
    report.files["problems.txt"] += "control: " + controls.error() + "\n";
    return;
  }
  for (const ControlTarget& control : *controls) {
    for (const char* page : {"sync", "problems", "replica", "ca", "status"}) {
      auto text = control_get(control, std::string("/debug/") + page);
      report.files["control/" + control.name + "." + page + ".json"] =
          text ? std::move(*text) : text.error();
    }
  }
}

void add_checks(Cluster& cluster, const std::string& ns, Report& report) {
  CheckResults results;
  (void)check_server(cluster, results);
  (void)check_nodes(cluster, results);
  (void)check_kinds(cluster, results);
  (void)check_roles(cluster, ns, results);
  (void)check_programs(cluster, ns, results);
  std::string text;
  for (const CheckResult& one : results) {
    text += (one.health == Health::kGood ? "ok " : "WRONG ") + one.what + ": " + one.why + "\n";
  }
  report.files["check.txt"] = std::move(text);
  Inventory all;
  if (!all.add_cluster(cluster)) return;
  std::string found;
  for (const Finding& one : analyze(all)) {
    found += one.code + " " + one.object + ": " + one.message + "\n";
  }
  report.files["analyze.txt"] = std::move(found);
}

void put_octal(char* field, std::size_t digits, std::uint64_t value) {
  for (std::size_t i = digits; i-- > 0; value >>= 3)
    field[i] = static_cast<char>('0' + (value & 7));
}

constexpr std::size_t kTarName = 100;  // the field of a header

void append_member(std::string& tar, char type, std::string_view name, std::string_view body,
                   std::int64_t when) {
  char header[512] = {};
  std::memcpy(header, name.data(), std::min(name.size(), kTarName));
  put_octal(header + 100, 7, 0644);
  put_octal(header + 108, 7, 0);
  put_octal(header + 116, 7, 0);
  put_octal(header + 124, 11, body.size());
  put_octal(header + 136, 11, static_cast<std::uint64_t>(when));
  header[156] = type;
  std::memcpy(header + 257, "ustar\00000", 8);
  std::memset(header + 148, ' ', 8);
  unsigned sum = 0;
  for (const char c : header) sum += static_cast<unsigned char>(c);
  put_octal(header + 148, 6, sum);
  header[154] = '\0';
  tar.append(header, sizeof header);
  tar += body;
  tar.append((512 - body.size() % 512) % 512, '\0');
}

// POSIX.1-2001's extended header for the next member: "LENGTH path=NAME\n", the length its own.
std::string path_record(const std::string& name) {
  const std::string rest = " path=" + name + "\n";
  std::size_t length = rest.size();
  while (std::to_string(length).size() + rest.size() != length) {
    length = std::to_string(length).size() + rest.size();
  }
  return std::to_string(length) + rest;
}

}  // namespace

std::map<std::string, std::string> gather_report(Cluster& cluster, const std::string& ns) {
  Report report(cluster);
  report.files["version.txt"] = "weft " WEFT_VERSION "\n";
  report.page("server-version.json", "/version");
  report.objects("nodes.json", kNodes.path());
  report.objects("events.json", "/api/v1/events");
  for (const char* plural : {"pods", "services", "configmaps", "serviceaccounts"}) {
    report.objects(std::string("weft/") + plural + ".json",
                   kube::ResourceType{"", "v1", plural, true}.path(ns));
  }
  for (const char* plural : {"deployments", "daemonsets", "replicasets"}) {
    report.objects(std::string("weft/") + plural + ".json",
                   kube::ResourceType{"apps", "v1", plural, true}.path(ns));
  }
  // Everything that decides where traffic goes; none of these kinds holds a secret.
  for (const manifest::KnownKind& known : manifest::known_kinds()) {
    const auto types = kube::types_of(known.kind);
    if (types.empty() || types.front().group.empty()) continue;
    report.objects("mesh/" + types.front().plural + ".json", types.front().path());
  }
  report.objects("mesh/services.json", kServices.path());
  add_pods(cluster, ns, "app.kubernetes.io/part-of=weft", report);
  add_pods(cluster, "", kWaypointPods, report);
  add_controls(cluster, ns, report);
  add_checks(cluster, ns, report);
  return std::move(report.files);
}

std::string tar_of(const std::map<std::string, std::string>& files, std::int64_t when) {
  std::string tar;
  for (const auto& [name, body] : files) {
    if (name.size() > kTarName) append_member(tar, 'x', "path", path_record(name), when);
    append_member(tar, '0', name, body, when);
  }
  return tar.append(1024, '\0');
}

int bug_report(const Session& session, const std::string& path) {
  auto cluster = open_cluster(session);
  if (!cluster) return complain(cluster.error());
  const auto files = gather_report(*cluster, session.ns.empty() ? "weft-system" : session.ns);
  std::FILE* const out = std::fopen(path.c_str(), "wxb");
  if (out == nullptr) return complain(path + ": " + std::strerror(errno));
  const std::string tar = tar_of(files, std::time(nullptr));
  const bool written = std::fwrite(tar.data(), 1, tar.size(), out) == tar.size();
  if (std::fclose(out) != 0 || !written) return complain(path + ": cannot be written");
  std::printf("%s: %zu files, %zu bytes; look through it before you pass it on\n", path.c_str(),
              files.size(), tar.size());
  const auto problems = files.find("problems.txt");
  if (problems == files.end()) return kOk;
  const auto lines = std::count(problems->second.begin(), problems->second.end(), '\n');
  std::fprintf(stderr, "%td things could not be read: problems.txt names them\n", lines);
  return kOk;
}

}  // namespace mesh::cli
