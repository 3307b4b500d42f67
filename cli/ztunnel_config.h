#pragma once
// `weft ztunnel-config WHAT`: what a node's ztunnel knows, from its admin page /config_dump.

#include <string>
#include <vector>

#include "cli/session.h"

namespace mesh::cli {

enum class DumpPart { kWorkload, kService, kPolicy, kCertificate, kConnections };

// The part of a dump as rows of a table, headings first. What a dump lacks is left empty.
// Errors: not a dump.
Outcome<std::vector<std::vector<std::string>>> dump_rows(DumpPart part, const std::string& dump);
// The part as the dump has it.
Outcome<std::string> dump_json(DumpPart part, const std::string& dump);

// `node`: "" is every node. `address`: an admin address to ask instead of a lab's nodes.
int ztunnel_config(const Session& session, DumpPart part, const std::string& node,
                   const std::string& address);

}  // namespace mesh::cli
