#include "cli/analyze/analyze.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iterator>
#include <nlohmann/json.hpp>

#include "cli/analyze/finding.h"
#include "cli/json.h"
#include "cli/kubernetes/cluster.h"
#include "cli/lab/files.h"
#include "cli/template/yaml.h"

namespace mesh::cli {

using Json = nlohmann::json;

namespace {

constexpr std::size_t kInputBytesMax = 64u << 20;

const char* name_of_weight(Weight weight) {
  return weight == Weight::kError ? "error" : weight == Weight::kWarning ? "warning" : "info";
}

Outcome<std::string> standard_input() {
  std::string text;
  char buffer[65536];
  while (const std::size_t count = std::fread(buffer, 1, sizeof buffer, stdin)) {
    text.append(buffer, count);
    if (text.size() > kInputBytesMax) return problem("standard input is too long");
  }
  return text;
}

Outcome<Done> add_path(Inventory& all, const std::string& path) {
  if (path == "-") {
    TRY(const std::string text, standard_input());
    all.add_file("-", text);
    return Done{};
  }
  std::error_code error;
  std::vector<std::string> files;
  if (std::filesystem::is_directory(path, error)) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path, error)) {
      const std::string name = entry.path().string();
      const std::string end = entry.path().extension().string();
      if (end == ".yaml" || end == ".yml" || end == ".json") files.push_back(name);
    }
    if (error) return problem(path + ": " + error.message());
    std::ranges::sort(files);
  } else {
    files.push_back(path);
  }
  for (const std::string& file : files) {
    TRY(const std::string text, lab::read_file(file));
    all.add_file(file, text);
  }
  return Done{};
}

Outcome<Inventory> inventory_of(const Session& session, const AnalyzeOptions& options) {
  Inventory all;
  if (options.files.empty() || options.with_cluster) {
    TRY(Cluster cluster, open_cluster(session));
    TRY_DO(all.add_cluster(cluster));
  }
  for (const std::string& path : options.files) TRY_DO(add_path(all, path));
  return all;
}

std::string where(const Place& place) {
  return place.file.empty() ? "" : place.file + ":" + std::to_string(place.line);
}

void print_text(const Findings& findings, std::size_t objects) {
  for (const Finding& one : findings) {
    const std::string place = where(one.place);
    std::printf("%s%s%s [%s] %s: %s\n", place.c_str(), place.empty() ? "" : ": ",
                name_of_weight(one.weight), one.code.c_str(), one.object.c_str(),
                one.message.c_str());
    if (!one.fix.empty()) std::printf("    fix: %s\n", one.fix.c_str());
  }
  std::fprintf(stderr, "%zu objects, %zu findings\n", objects, findings.size());
}

void print_json(const Session& session, const Findings& findings) {
  Json list = Json::array();
  for (const Finding& one : findings) {
    list.push_back({{"severity", name_of_weight(one.weight)},
                    {"code", one.code},
                    {"object", one.object},
                    {"file", one.place.file},
                    {"line", one.place.line},
                    {"message", one.message},
                    {"fix", one.fix}});
  }
  print(session, list, "");
}

// "Service shop/web" is of namespace shop.
bool is_in(const std::string& object, const std::string& ns) {
  return object.find(" " + ns + "/") != std::string::npos || object.ends_with(" " + ns);
}

}  // namespace

Findings analyze(const Inventory& all) {
  Findings found;
  for (const manifest::Problem& one : all.problems()) {
    const bool error = one.severity == manifest::Severity::kError;
    const bool idle = !error && !one.field.empty();
    found.push_back({.weight = error ? Weight::kError : Weight::kWarning,
                     .code = idle ? "WEFT014" : "WEFT013",
                     .object = one.object.empty() ? "manifest" : one.object,
                     .place = {.file = one.file, .line = one.line},
                     .message = (one.field.empty() ? "" : one.field + ": ") + one.message +
                                (one.in_force.empty() ? "" : "; " + one.in_force),
                     .fix = error ? "correct it: what cannot be read is refused" : ""});
  }
  find_waypoint_faults(all, found);
  find_policy_faults(all, found);
  find_route_faults(all, found);
  find_service_faults(all, found);
  std::ranges::sort(found, [](const Finding& a, const Finding& b) {
    return std::tie(a.weight, a.place.file, a.place.line, a.code, a.object, a.message) <
           std::tie(b.weight, b.place.file, b.place.line, b.code, b.object, b.message);
  });
  return found;
}

int analyze(const Session& session, const AnalyzeOptions& options) {
  const auto all = inventory_of(session, options);
  if (!all) return complain(all.error());
  Findings findings = analyze(*all);
  if (!session.ns.empty() && !options.all_namespaces) {
    std::erase_if(findings, [&](const Finding& one) { return !is_in(one.object, session.ns); });
  }
  if (session.output == "table") {
    print_text(findings, all->size());
  } else {
    print_json(session, findings);
  }
  const bool clean =
      std::ranges::all_of(findings, [](const Finding& one) { return one.weight == Weight::kInfo; });
  return clean ? kOk : kFindings;
}

}  // namespace mesh::cli
