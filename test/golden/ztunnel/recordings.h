#pragma once
// What was recorded of each situation (access.tsv, metrics.tsv), and what our nodes logged and
// counted, in one comparable form: without what differs from run to run (ports of clients,
// durations), what only we add, and the service of inbound records, which the recording's local
// config could not fill.

#include <initializer_list>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "test/golden/ztunnel/little_mesh.h"

namespace mesh::ztunnel {

using Keys = std::initializer_list<const char*>;

// "level event key=value ..." of each new line of scope "access", sorted, without `dropped`.
std::vector<std::string> access_lines(TestNode& node, Keys dropped = {});
std::vector<std::string> recorded_lines(const std::string& situation, const std::string& side,
                                        Keys dropped = {});

// "metric label=value,..." -> value, with the labels that the recording kept.
using Counters = std::map<std::string, double>;
Counters counters(const std::string& page);
// "metric labels difference" of those that are not equal.
std::set<std::string> changes(const Counters& before, const Counters& after);
std::set<std::string> recorded_changes(const std::string& situation, const std::string& side);

}  // namespace mesh::ztunnel
