#include "cli/lab/folder.h"

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "cli/lab/files.h"

namespace mesh::cli::lab {
namespace {

namespace fs = std::filesystem;
constexpr std::uintmax_t kSourceBytesMax = 64u << 20;

std::string lower(std::string text) {
  for (char& letter : text) letter = static_cast<char>(std::tolower(letter));
  return text;
}

bool has_own_file(const std::string& kind) {
  return kind == "Pod" || kind == "Service" || kind == "Node";
}

std::string namespace_of(const Document& document) {
  if (document.kind == "Node" || document.kind == "Namespace") return "";
  return document.ns.empty() ? "default" : document.ns;
}

std::string own_file(const std::string& manifests, const std::string& kind, const std::string& ns,
                     const std::string& name) {
  return manifests + "/" + lower(kind) + (ns.empty() ? "" : "." + ns) + "." + name + ".yaml";
}

std::string own_file(const std::string& manifests, const Document& document) {
  return own_file(manifests, document.kind, namespace_of(document), document.name);
}

// `text` with the lines of `document` blank.
std::string without(const std::string& text, const Document& document) {
  std::string result;
  int line = 1;
  for (std::size_t start = 0; start < text.size(); ++line) {
    const std::size_t end = std::min(text.find('\n', start), text.size() - 1);
    const bool blank = line >= document.line && line < document.line + document.line_count;
    result += blank ? "\n" : text.substr(start, end - start + 1);
    start = end + 1;
  }
  return result;
}

bool only_separators(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char letter) {
    return letter == '-' || letter == '\n' || letter == ' ' || letter == '\r';
  });
}

// An object replaces its predecessor's spec but keeps what the lab decided about it; the supervisor
// sees the difference and writes addresses and status again.
Outcome<Done> put_own(const std::string& manifests, const Document& document) {
  return write_file(own_file(manifests, document), document.json + "\n");
}

// Removes the object from every file but `except`; an object without a namespace is meant in any.
// True if it was somewhere.
Outcome<bool> remove_elsewhere(const std::string& manifests, const Document& object,
                               const std::string& except) {
  bool removed = false;
  TRY(const auto files, list_folder(manifests));
  for (const std::string& file : files) {
    const std::string path = manifests + "/" + file;
    if (!is_manifest_name(file) || path == except) continue;
    TRY(const std::string text, read_file(path));
    const auto documents = parse_documents(file, text);
    if (!documents) continue;
    for (const Document& document : *documents) {
      if (lower(document.kind) != lower(object.kind) || document.name != object.name) continue;
      if (!object.ns.empty() && namespace_of(document) != object.ns) continue;
      const std::string rest = without(text, document);
      if (!only_separators(rest)) {
        TRY_DO(write_file(path, rest));
      } else if (::unlink(path.c_str()) != 0) {
        return problem_with_errno("remove " + path);
      }
      removed = true;
      break;
    }
  }
  return removed;
}

}  // namespace

std::string pod_file(const std::string& manifests, const std::string& ns, const std::string& name) {
  return own_file(manifests, "Pod", ns, name);
}
std::string service_file(const std::string& manifests, const std::string& ns,
                         const std::string& name) {
  return own_file(manifests, "Service", ns, name);
}
std::string node_file(const std::string& manifests, const std::string& name) {
  return own_file(manifests, "Node", "", name);
}

Outcome<Done> put_manifest(const std::string& manifests, const std::string& file_name,
                           const std::string& text) {
  TRY(const auto documents, parse_documents(file_name, text));
  std::string rest = text;
  for (const Document& document : documents) {
    if (!has_own_file(document.kind) && !document.in_list) continue;
    TRY_DO(put_own(manifests, document));
    rest = without(rest, document);
  }
  const std::string path = manifests + "/" + file_name;
  if (only_separators(rest)) {
    const bool is_own = documents.size() == 1 && own_file(manifests, documents[0]) == path;
    if (!is_own) ::unlink(path.c_str());
    return Done{};
  }
  return write_file(path, rest);
}

Outcome<Done> copy_source(const std::string& source, const std::string& folder) {
  std::error_code error;
  if (!fs::is_directory(source, error)) return problem(source + ": not a folder");
  std::uintmax_t total = 0;
  for (const auto& entry : fs::recursive_directory_iterator(source, error)) {
    if (entry.is_regular_file(error)) total += entry.file_size(error);
  }
  if (total > kSourceBytesMax) return problem(source + ": more than 64 MiB");
  fs::copy(source, folder + "/source", fs::copy_options::recursive, error);
  if (error) return problem("copy " + source + ": " + error.message());
  TRY_DO(make_folders(folder + "/manifests"));
  TRY(const auto names, list_folder(source));
  int manifests = 0;
  for (const std::string& name : names) {
    if (!is_manifest_name(name) || !fs::is_regular_file(source + "/" + name, error)) continue;
    TRY(const std::string text, read_file(source + "/" + name));
    auto put = put_manifest(folder + "/manifests", name, text);
    if (!put) return problem(source + "/" + put.error());
    ++manifests;
  }
  if (manifests == 0) return problem(source + ": no manifests (*.yaml) there");
  return Done{};
}

Outcome<Done> arrange(const std::string& manifests) {
  TRY(const auto names, list_folder(manifests));
  for (const std::string& name : names) {
    if (!is_manifest_name(name)) continue;
    const auto text = read_file(manifests + "/" + name);
    if (!text) continue;
    const auto documents = parse_documents(name, *text);
    if (!documents) continue;  // reported by read_contents
    const bool misplaced =
        std::any_of(documents->begin(), documents->end(), [&](const Document& document) {
          return (has_own_file(document.kind) || document.in_list) &&
                 own_file(manifests, document) != manifests + "/" + name;
        });
    if (misplaced) TRY_DO(put_manifest(manifests, name, *text));
  }
  return Done{};
}

Outcome<Done> put_objects(const std::string& manifests, const std::string& file_name,
                          const std::string& text) {
  TRY(const auto documents, parse_documents(file_name, text));
  for (const Document& document : documents) {
    const std::string path = own_file(manifests, document);
    TRY_DO(write_file(path, document.json + "\n"));
    Document object = document;
    object.ns = namespace_of(document);  // not that of the same name in another namespace
    TRY_DO(remove_elsewhere(manifests, object, path));
  }
  return Done{};
}

Outcome<Done> remove_object(const std::string& manifests, const std::string& kind,
                            const std::string& ns, const std::string& name) {
  Document object;
  object.kind = kind;
  object.ns = ns;
  object.name = name;
  TRY(const bool removed, remove_elsewhere(manifests, object, ""));
  if (removed) return Done{};
  return problem("no " + kind + " named " + (ns.empty() ? name : ns + "/" + name));
}

Contents read_contents(const std::string& manifests) {
  Contents contents;
  const auto names = list_folder(manifests);
  if (!names) contents.problems.push_back(names.error());
  for (const std::string& name : names.value_or(std::vector<std::string>())) {
    if (!is_manifest_name(name)) continue;
    const auto text = read_file(manifests + "/" + name);
    if (!text) continue;  // removed meanwhile
    const auto documents = parse_documents(name, *text);
    if (!documents) {
      contents.problems.push_back(documents.error());
      continue;
    }
    for (const Document& document : *documents) {
      if (document.kind == "Namespace") {
        contents.namespace_modes[document.name] = dataplane_mode(document);
      } else if (document.kind == "Node") {
        contents.nodes.push_back(document.name);
      } else if (document.kind == "Pod" && !is_kept_by_others(document)) {
        auto pod = read_pod(document);
        if (!pod) {
          contents.problems.push_back(pod.error());
        } else if (const std::string key = pod->key(); true) {
          contents.pods[key] = *std::move(pod);
        }
      } else if (document.kind == "Service") {
        auto service = read_service(document);
        if (!service) {
          contents.problems.push_back(service.error());
        } else if (const std::string key = service->key(); true) {
          contents.services[key] = *std::move(service);
        }
      }
    }
  }
  return contents;
}

}  // namespace mesh::cli::lab
