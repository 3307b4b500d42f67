#include "test/golden/ztunnel/recordings.h"

#include <algorithm>
#include <fstream>

namespace mesh::ztunnel {
namespace {

using Fields = std::map<std::string, std::string>;

std::vector<std::string> split(const std::string& text, char by) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == by) {
      parts.emplace_back();
    } else {
      parts.back().push_back(c);
    }
  }
  return parts;
}

std::string comparable(const std::string& level, const std::string& event, std::string text,
                       Keys dropped) {
  Fields fields;
  while (!text.empty()) {
    const std::size_t equals = text.find('=');
    const std::string key = text.substr(0, equals);
    text.erase(0, equals + 1);
    const bool quoted = text.starts_with('"');
    std::size_t end = quoted ? 1 : 0;
    while (end < text.size() && text[end] != (quoted ? '"' : ' ')) end += text[end] == '\\' ? 2 : 1;
    fields[key] = text.substr(quoted ? 1 : 0, quoted ? end - 1 : end);
    text.erase(0, std::min(text.size(), end + (quoted ? 2 : 1)));
  }
  fields["src.addr"] = fields["src.addr"].substr(0, fields["src.addr"].rfind(':'));
  for (const char* key : {"duration", "reason", "policy"}) fields.erase(key);
  for (const char* key : dropped) fields.erase(key);
  if (fields["direction"] == "inbound") fields.erase("dst.service");
  std::string out = level + " " + event;
  for (const auto& [key, value] : fields) out += " " + key + "=" + value;
  return out;
}

}  // namespace

std::vector<std::string> access_lines(TestNode& node, Keys dropped) {
  std::vector<std::string> found;
  for (const std::string& line : node.new_lines()) {
    const auto cells = split(line, '\t');
    if (cells.size() < 5 || cells[2] != "access") continue;
    found.push_back(
        comparable(cells[1], cells[3].substr(cells[3].find(' ') + 1), cells[4], dropped));
  }
  std::ranges::sort(found);
  return found;
}

std::vector<std::string> recorded_lines(const std::string& situation, const std::string& side,
                                        Keys dropped) {
  std::vector<std::string> found;
  std::ifstream golden(GOLDEN_FOLDER "/ztunnel/access.tsv");
  for (std::string line; std::getline(golden, line);) {
    const auto cells = split(line, '\t');
    if (cells.size() == 5 && cells[0] == situation && cells[1] == side) {
      found.push_back(comparable(cells[2], cells[3], cells[4], dropped));
    }
  }
  std::ranges::sort(found);
  return found;
}

Counters counters(const std::string& page) {
  constexpr const char* kKept[] = {"reporter",
                                   "source_workload",
                                   "source_principal",
                                   "destination_service",
                                   "destination_workload",
                                   "destination_principal",
                                   "response_flags",
                                   "connection_security_policy"};
  Counters found;
  for (const std::string& line : split(page, '\n')) {
    if (!line.starts_with("istio_tcp_") || line.find("sockets_open") != std::string::npos) continue;
    std::string labels;
    for (const char* key : kKept) {
      const std::string name = std::string(key) + "=\"";
      std::size_t from = line.find("{" + name);
      if (from == std::string::npos) from = line.find("," + name);
      from += name.size() + 1;
      std::string value = line.substr(from, line.find('"', from) - from);
      const bool inbound = labels.starts_with("reporter=destination");
      if (inbound && std::string_view(key) == "destination_service") value = "unknown";
      labels += (labels.empty() ? "" : ",") + std::string(key) + "=" + value;
    }
    found[line.substr(0, line.find('{')) + " " + labels] +=
        std::stod(line.substr(line.rfind(' ') + 1));
  }
  return found;
}

std::set<std::string> changes(const Counters& before, const Counters& after) {
  std::set<std::string> found;
  for (const auto& [key, value] : after) {
    const auto old = before.find(key);
    const double change = value - (old == before.end() ? 0 : old->second);
    if (change != 0) found.insert(key + " " + std::to_string(static_cast<long>(change)));
  }
  return found;
}

std::set<std::string> recorded_changes(const std::string& situation, const std::string& side) {
  std::set<std::string> found;
  std::ifstream golden(GOLDEN_FOLDER "/ztunnel/metrics.tsv");
  for (std::string line; std::getline(golden, line);) {
    const auto cells = split(line, '\t');
    if (cells.size() != 5 || cells[0] != situation || cells[1] != side || cells[4] == "0") continue;
    std::string labels;
    for (const std::string& one : split(cells[3], ',')) {
      const bool inbound = labels.starts_with("reporter=destination");
      const bool service = one.starts_with("destination_service=");
      labels += (labels.empty() ? "" : ",") +
                (inbound && service ? std::string("destination_service=unknown") : one);
    }
    found.insert(cells[2] + " " + labels + " " + cells[4]);
  }
  return found;
}

}  // namespace mesh::ztunnel
