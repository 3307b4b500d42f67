#pragma once
// Whether manifests are valid, as the control server judges (the same parser), and whether a lab
// can run their pods: before anything is started or changed.

#include <string>
#include <string_view>
#include <vector>

namespace mesh::cli::lab {

// "shop.yaml:12: AuthorizationPolicy shop/deny: spec.action: …" for each error; warnings are left
// to the control server. `file` is how the file is called in them.
std::vector<std::string> check_manifest(const std::string& file, std::string_view text);

// Every manifest of a folder, and that no two objects have one name.
std::vector<std::string> check_folder(const std::string& folder);

}  // namespace mesh::cli::lab
