#include "cli/lab/document.h"

#include <yaml-cpp/yaml.h>

#include <nlohmann/json.hpp>

#include <cstdlib>

namespace mesh::cli::lab {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kFileBytesMax = 4u << 20;
constexpr std::size_t kDocumentsMax = 10000;
constexpr int kDepthMax = 64;

bool is_number(const std::string& text) {
  if (text.empty() || text.size() > 30) return false;
  const std::size_t sign = text[0] == '-' ? 1 : 0;
  if (text.size() > sign + 1 && text[sign] == '0' && text[sign + 1] != '.') return false;
  int dots = 0;
  for (std::size_t i = sign; i < text.size(); ++i) {
    if (text[i] == '.') {
      ++dots;
    } else if (text[i] < '0' || text[i] > '9') {
      return false;
    }
  }
  return dots <= 1 && text.size() > sign && text.back() != '.' && text[sign] != '.';
}

// The types of YAML's core schema, as Kubernetes reads them; a quoted scalar is a string.
Json scalar_to_json(const YAML::Node& node) {
  const std::string& text = node.Scalar();
  if (node.Tag() == "!" || node.Tag() == "tag:yaml.org,2002:str") return text;
  if (text.empty() || text == "~" || text == "null") return nullptr;
  if (text == "true" || text == "True") return true;
  if (text == "false" || text == "False") return false;
  if (is_number(text)) return Json::parse(text, nullptr, /*allow_exceptions=*/false);
  return text;
}

// What made an object unreadable, and on which line of its text.
struct Complaint {
  std::string what;
  int line = 0;
};

Json to_json(const YAML::Node& node, int depth, Complaint& complaint) {
  if (depth > kDepthMax) complaint = {.what = "nested too deeply", .line = node.Mark().line};
  if (!complaint.what.empty()) return nullptr;
  if (node.IsScalar()) return scalar_to_json(node);
  if (node.IsSequence()) {
    Json list = Json::array();
    for (const auto& item : node) list.push_back(to_json(item, depth + 1, complaint));
    return list;
  }
  if (node.IsMap()) {
    Json object = Json::object();
    for (const auto& item : node) {
      const std::string key = item.first.as<std::string>();
      if (object.contains(key)) {
        complaint = {.what = "key \"" + key + "\" appears twice", .line = item.first.Mark().line};
      }
      object[key] = to_json(item.second, depth + 1, complaint);
    }
    return object;
  }
  return nullptr;
}

std::string text_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

struct Chunk {
  int line = 1;
  int line_count = 0;
  std::string text = "";
};

// "---" at the start of a line separates documents.
std::vector<Chunk> split(std::string_view text) {
  std::vector<Chunk> chunks(1);
  int line = 1;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view one = text.substr(0, end);
    if (one == "---" || one.starts_with("--- ") || one == "---\r") {
      chunks.push_back({.line = line + 1});
    } else {
      chunks.back().text.append(one).push_back('\n');
      ++chunks.back().line_count;
    }
    ++line;
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return chunks;
}

std::string place(const std::string& file, int line, const std::string& what) {
  return file + ":" + std::to_string(line) + ": " + what;
}

// One object, or each item of a List.
Outcome<Done> add_objects(Document document, const Json& object, std::vector<Document>& documents) {
  // What kustomize makes objects of is none itself.
  if (text_of(object, "apiVersion").starts_with("kustomize.config.k8s.io/")) return Done{};
  document.kind = text_of(object, "kind");
  const auto items = object.find("items");
  if (document.kind.ends_with("List") && items != object.end() && items->is_array()) {
    document.in_list = true;
    for (const Json& item : *items) {
      if (!item.is_object())
        return problem(place(document.file, document.line, "items: not objects"));
      TRY_DO(add_objects(document, item, documents));
    }
    return Done{};
  }
  if (const auto metadata = object.find("metadata");
      metadata != object.end() && metadata->is_object()) {
    document.ns = text_of(*metadata, "namespace");
    document.name = text_of(*metadata, "name");
  }
  const auto missing = [&](const char* field) {
    return problem(place(document.file, document.line, std::string(field) + ": missing"));
  };
  if (document.kind.empty()) return missing("kind");
  if (document.name.empty()) return missing("metadata.name");
  document.json = object.dump(2, ' ', false, Json::error_handler_t::replace);
  documents.push_back(std::move(document));
  return Done{};
}

}  // namespace

bool is_manifest_name(std::string_view file_name) {
  return !file_name.starts_with(".") &&
         (file_name.ends_with(".yaml") || file_name.ends_with(".yml") ||
          file_name.ends_with(".json"));
}

Outcome<std::vector<Document>> parse_documents(const std::string& file, std::string_view text) {
  if (text.size() > kFileBytesMax) return problem(file + ": larger than 4 MiB");
  std::vector<Document> documents;
  for (const Chunk& chunk : split(text)) {
    try {
      const YAML::Node node = YAML::Load(chunk.text);
      if (!node.IsDefined() || node.IsNull()) continue;
      if (!node.IsMap()) return problem(place(file, chunk.line, "not an object"));
      Complaint complaint;
      const Json object = to_json(node, 0, complaint);
      if (!complaint.what.empty()) {
        return problem(place(file, chunk.line + complaint.line, complaint.what));
      }
      const Document document{.file = file, .line = chunk.line, .line_count = chunk.line_count};
      TRY_DO(add_objects(document, object, documents));
      if (documents.size() > kDocumentsMax) return problem(file + ": more than 10000 documents");
    } catch (const YAML::Exception& error) {
      return problem(place(file, chunk.line + std::max(error.mark.line, 0), error.msg));
    }
  }
  return documents;
}

}  // namespace mesh::cli::lab
