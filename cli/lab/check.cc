#include "cli/lab/check.h"

#include <map>

#include "cli/lab/document.h"
#include "cli/lab/files.h"
#include "cli/lab/model.h"
#include "mesh/manifest/parse.h"

namespace mesh::cli::lab {
namespace {

void add_errors(const manifest::Parsed& parsed, std::vector<std::string>& errors) {
  for (const manifest::Problem& problem : parsed.problems) {
    if (problem.severity == manifest::Severity::kError) errors.push_back(problem.to_string());
  }
}

// What a cluster would run and a lab cannot: a Pod without a command, a probe by gRPC, …
void add_what_a_lab_cannot_run(const std::string& file, std::string_view text,
                               std::vector<std::string>& errors) {
  const auto documents = parse_documents(file, text);
  if (!documents) return errors.push_back(documents.error());
  for (const Document& document : *documents) {
    if (document.kind != "Pod") continue;
    if (const auto pod = read_pod(document); !pod) errors.push_back(pod.error());
  }
}

}  // namespace

std::vector<std::string> check_manifest(const std::string& file, std::string_view text) {
  std::vector<std::string> errors;
  add_errors(manifest::parse(file, text), errors);
  if (errors.empty()) add_what_a_lab_cannot_run(file, text, errors);
  return errors;
}

std::vector<std::string> check_folder(const std::string& folder) {
  std::vector<std::string> errors;
  const auto names = list_folder(folder);
  if (!names) return {names.error()};
  std::map<manifest::ObjectKey, std::string> places;
  for (const std::string& name : *names) {
    if (!is_manifest_name(name)) continue;
    const std::string path = folder + "/" + name;
    const auto text = read_file(path);
    if (!text) {
      errors.push_back(text.error());
      continue;
    }
    const manifest::Parsed parsed = manifest::parse(path, *text);
    add_errors(parsed, errors);
    if (!parsed.has_errors()) add_what_a_lab_cannot_run(path, *text, errors);
    for (const manifest::ParsedObject& one : parsed.objects) {
      const manifest::ObjectKey key = manifest::key_of(one.object);
      const std::string place = path + ":" + std::to_string(one.line);
      const auto [first, is_new] = places.emplace(key, place);
      if (!is_new) {
        errors.push_back(place + ": " + key.to_string() + " is already at " + first->second);
      }
    }
  }
  return errors;
}

}  // namespace mesh::cli::lab
