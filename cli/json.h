#pragma once
// JSON that others wrote: reads that hold whatever its shape is, and its text.

#include <nlohmann/json_fwd.hpp>

#include <string>
#include <string_view>

namespace mesh::cli {

// Null when `text` is not JSON. What is nested more than 64 deep is dropped.
nlohmann::json parse_json(std::string_view text);

// Null when `object` is no object or has no such member.
const nlohmann::json& member(const nlohmann::json& object, const char* key);

// A string as it is, "" for null, anything else as JSON.
std::string text_of(const nlohmann::json& value);
std::string text(const nlohmann::json& object, const char* key);

// `otherwise` when it is no boolean.
bool flag(const nlohmann::json& object, const char* key, bool otherwise = false);

// As JSON. Bytes that are not UTF-8 (paths and names may hold such) are replaced.
std::string to_text(const nlohmann::json& value, int indent = -1);

}  // namespace mesh::cli
