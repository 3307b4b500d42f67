#include "cli/version.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include <cstdio>

#include "cli/table.h"
#include "ebpf/kernel_features.h"
#include "mesh/io/kernel_features.h"

namespace mesh::cli {
namespace {

struct Row {
  std::string name;
  std::string what_for;
  bool available = false;
  bool used = false;
};

std::pair<int, int> kernel_version(const std::string& release) {
  int major = 0;
  int minor = 0;
  std::sscanf(release.c_str(), "%d.%d", &major, &minor);
  return {major, minor};
}

std::vector<Row> kernel_rows(const std::string& release) {
  std::vector<Row> rows = {{.name = "linux 6.1",
                            .what_for = "the floor",
                            .available = kernel_version(release) >= std::pair(6, 1),
                            .used = true}};
  const bool may_ask = geteuid() == 0;
  for (const ebpf::KernelFeature& feature : ebpf::kernel_features()) {
    std::string what_for(feature.what_for);
    if (!feature.available && !may_ask) what_for += " (only root may ask)";
    rows.push_back({.name = std::string(feature.name),
                    .what_for = std::move(what_for),
                    .available = feature.available,
                    .used = feature.available});
  }
  return rows;
}

}  // namespace

int version(const Session& session, bool features) {
  utsname system{};
  ::uname(&system);
  std::vector<Row> rows;
  if (features) {
    rows = kernel_rows(system.release);
    for (const io::Feature& feature : io::features()) {
      rows.push_back({.name = std::string(feature.name),
                      .what_for = std::string(feature.what_for),
                      .available = feature.available,
                      .used = feature.used});
    }
  }
  nlohmann::json all = {{"version", WEFT_VERSION}, {"kernel", system.release}};
  std::vector<std::vector<std::string>> cells = {{"FEATURE", "THERE", "USED", "WHAT FOR"}};
  for (const Row& row : rows) {
    all["features"].push_back({{"name", row.name},
                               {"whatFor", row.what_for},
                               {"available", row.available},
                               {"used", row.used}});
    cells.push_back(
        {row.name, row.available ? "yes" : "no", row.used ? "yes" : "no", row.what_for});
  }
  const std::string heading =
      std::string("weft " WEFT_VERSION " on Linux ") + system.release + "\n";
  print(session, all, heading + (features ? "\n" + table(cells) : ""));
  return kOk;
}

}  // namespace mesh::cli
