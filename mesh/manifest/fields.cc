#include "mesh/manifest/fields.h"

#include <algorithm>
#include <charconv>

namespace mesh::manifest {
namespace {

constexpr std::size_t kMaxUnhonoured = 64;

bool looks_like_bool(std::string_view text) {
  return text == "true" || text == "false" || text == "True" || text == "False" || text == "TRUE" ||
         text == "FALSE" || text == "yes" || text == "no" || text == "on" || text == "off" ||
         text == "Yes" || text == "No" || text == "On" || text == "Off";
}

bool looks_like_number(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

std::optional<std::uint32_t> to_number(std::string_view text, std::uint32_t maximum) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value > maximum) return {};
  return value;
}

// What a Kubernetes or a protobuf duration says; none when it says nothing sensible. A year at
// most, and fractions down to a millisecond.
std::optional<Milliseconds> to_duration(std::string_view text) {
  constexpr double kMost = 365.0 * 24 * 3600 * 1000;
  double total = 0;
  bool any = false;
  while (!text.empty()) {
    double value = 0;
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
    if (error != std::errc() || !(value >= 0)) return {};
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    const std::size_t unit = std::min(text.size(), text.find_first_of("0123456789."));
    const std::string_view name = text.substr(0, unit);
    const double scale = name == "ms"  ? 1
                         : name == "s" ? 1000
                         : name == "m" ? 60'000
                         : name == "h" ? 3'600'000
                                       : -1;
    if (scale < 0) return {};
    total += value * scale;
    if (total > kMost) return {};
    text.remove_prefix(unit);
    any = true;
  }
  if (!any) return {};
  return Milliseconds(static_cast<std::int64_t>(total + 0.5));
}

}  // namespace

void Report::error(unsigned line, std::string field, std::string message) {
  failed = true;
  add(Severity::kError, line, std::move(field), std::move(message));
}

void Report::warn(unsigned line, std::string field, std::string message) {
  add(Severity::kWarning, line, std::move(field), std::move(message));
}

void Report::add(Severity severity, unsigned line, std::string field, std::string message) {
  if (parsed->problems.size() >= kMaxProblems) return;
  parsed->problems.push_back({severity, file, line, object, std::move(field), std::move(message)});
}

std::optional<std::string> scalar_text(Report& report, const Value& value,
                                       const std::string& path) {
  if (value.type != Value::Type::kScalar) {
    report.error(value.line, path, "must be text");
    return {};
  }
  if (report.strict && !value.quoted &&
      (looks_like_bool(value.text) || looks_like_number(value.text))) {
    report.error(value.line, path, "must be text: put it in quotes");
    return {};
  }
  return value.text;
}

Fields::Fields(Report& report, const Value* value, std::string path)
    : report_(&report), map_(value), path_(std::move(path)) {
  if (map_ == nullptr) return;
  line_ = map_->line;
  if (map_->type == Value::Type::kMap) return;
  if (!map_->is_null()) report_->error(line_, path_, "must be a map of fields");
  map_ = nullptr;
}

std::string Fields::path_of(std::string_view key) const {
  return path_.empty() ? std::string(key) : path_ + "." + std::string(key);
}

const Value* Fields::peek(std::string_view key) const {
  const Value* value = map_ == nullptr ? nullptr : map_->find(key);
  return value == nullptr || value->is_null() ? nullptr : value;
}

const Value* Fields::take(std::string_view key) {
  known_.emplace_back(key);
  return peek(key);
}

void Fields::unhonoured(std::string_view key, std::string why) {
  const Value* value = take(key);
  if (value == nullptr) return;
  if (report_->unhonoured.size() < kMaxUnhonoured) {
    report_->unhonoured.push_back(path_of(key) + ": " + why);
  }
  report_->warn(value->line, path_of(key), std::move(why));
}

void Fields::error(std::string_view key, std::string message) {
  const Value* value = peek(key);
  report_->error(value == nullptr ? line_ : value->line, path_of(key), std::move(message));
}

void Fields::error(std::string_view key, std::size_t item, std::string message) {
  const Value* list = peek(key);
  const bool there = list != nullptr && item < list->items.size();
  report_->error(there ? list->items[item].line : line_,
                 path_of(key) + "[" + std::to_string(item) + "]", std::move(message));
}

void Fields::finish() {
  if (!report_->strict || map_ == nullptr) return;
  for (std::size_t i = 0; i < map_->keys.size(); ++i) {
    const std::string& key = map_->keys[i];
    if (std::find(known_.begin(), known_.end(), key) != known_.end()) continue;
    report_->error(map_->items[i].line, path_of(key.substr(0, 64)), "unknown field");
  }
}

const Value* Fields::scalar(std::string_view key) {
  const Value* value = take(key);
  if (value == nullptr) return nullptr;
  if (value->type == Value::Type::kScalar) return value;
  error(key, "must be a single value");
  return nullptr;
}

std::string Fields::text(std::string_view key, std::string fallback) {
  const Value* value = take(key);
  if (value == nullptr) return fallback;
  return scalar_text(*report_, *value, path_of(key)).value_or(std::move(fallback));
}

std::string Fields::required_text(std::string_view key) {
  std::string value = text(key);
  if (value.empty()) error(key, "is required");
  return value;
}

bool Fields::flag(std::string_view key, bool fallback) {
  const Value* value = scalar(key);
  if (value == nullptr) return fallback;
  if (!value->quoted && (value->text == "true" || value->text == "True")) return true;
  if (!value->quoted && (value->text == "false" || value->text == "False")) return false;
  error(key, "must be true or false");
  return fallback;
}

std::uint32_t Fields::number(std::string_view key, std::uint32_t maximum) {
  const Value* value = scalar(key);
  if (value == nullptr) return 0;
  const auto number = to_number(value->text, maximum);
  if (!number) error(key, "must be a number from 0 to " + std::to_string(maximum));
  return number.value_or(0);
}

std::optional<std::uint32_t> Fields::optional_number(std::string_view key, std::uint32_t maximum) {
  if (!present(key)) {
    ignore(key);
    return {};
  }
  return number(key, maximum);
}

double Fields::percent(std::string_view key, double fallback) {
  const Value* value = scalar(key);
  if (value == nullptr) return fallback;
  double number = -1;
  const char* end = value->text.data() + value->text.size();
  const auto [stop, error] = std::from_chars(value->text.data(), end, number);
  if (error == std::errc() && stop == end && number >= 0 && number <= 100) return number;
  this->error(key, "must be a percentage, 0 to 100");
  return fallback;
}

std::optional<Milliseconds> Fields::duration(std::string_view key) {
  const Value* value = scalar(key);
  if (value == nullptr) return {};
  const auto duration = to_duration(value->text);
  if (!duration) error(key, "must be a duration such as 1h30m, 5s or 250ms");
  return duration;
}

std::string Fields::choice(std::string_view key, std::initializer_list<std::string_view> choices,
                           std::string fallback) {
  if (!present(key)) {
    ignore(key);
    return fallback;
  }
  std::string value = text(key);
  if (std::find(choices.begin(), choices.end(), value) != choices.end()) return value;
  std::string message = "must be one of";
  for (const std::string_view choice : choices) message += " " + std::string(choice);
  error(key, std::move(message));
  return fallback;
}

std::uint16_t Fields::port(std::string_view key) {
  const Value* value = scalar(key);
  if (value == nullptr) return 0;
  const auto port = net::parse_port(value->text);
  if (!port) error(key, "must be a port, 1 to 65535");
  return port.value_or(0);
}

PortRef Fields::port_ref(std::string_view key) {
  const Value* value = scalar(key);
  if (value == nullptr) return {};
  if (const auto port = net::parse_port(value->text)) return {.number = *port, .name = {}};
  if (looks_like_number(value->text)) {
    error(key, "must be a port, 1 to 65535, or the name of one");
    return {};
  }
  return {.number = 0, .name = value->text};
}

std::vector<std::string> Fields::texts(std::string_view key) {
  std::vector<std::string> texts;
  const Value* list = take(key);
  if (list == nullptr) return texts;
  if (list->type != Value::Type::kList) {
    error(key, "must be a list");
    return texts;
  }
  for (std::size_t i = 0; i < list->items.size(); ++i) {
    const std::string path = path_of(key) + "[" + std::to_string(i) + "]";
    if (auto text = scalar_text(*report_, list->items[i], path)) texts.push_back(*std::move(text));
  }
  return texts;
}

Labels Fields::labels(std::string_view key) {
  Labels labels;
  const Value* map = take(key);
  if (map == nullptr) return labels;
  if (map->type != Value::Type::kMap) {
    error(key, "must be a map");
    return labels;
  }
  for (std::size_t i = 0; i < map->keys.size(); ++i) {
    const std::string path = path_of(key) + "." + map->keys[i].substr(0, 128);
    const Value& value = map->items[i];
    if (value.is_null() && !report_->strict) {
      labels.emplace(map->keys[i], "");
    } else if (auto text = scalar_text(*report_, value, path)) {
      labels.emplace(map->keys[i], *std::move(text));
    }
  }
  return labels;
}

std::vector<net::IpAddress> Fields::addresses(std::string_view key) {
  std::vector<net::IpAddress> addresses;
  const std::vector<std::string> listed = texts(key);
  for (std::size_t i = 0; i < listed.size(); ++i) {
    const std::string& text = listed[i];
    const auto address = net::IpAddress::parse(text);
    if (!address) {
      error(key, i, "\"" + text.substr(0, 64) + "\" is not an IP address");
    } else {
      addresses.push_back(*address);
    }
  }
  return addresses;
}

Fields Fields::map(std::string_view key) { return Fields(*report_, take(key), path_of(key)); }

std::vector<Fields> Fields::maps(std::string_view key, std::size_t most) {
  std::vector<Fields> maps;
  const Value* list = take(key);
  if (list == nullptr) return maps;
  if (list->type != Value::Type::kList) {
    error(key, "must be a list");
    return maps;
  }
  if (list->items.size() > most) {
    error(key, "has more than " + std::to_string(most) + " items");
    return maps;
  }
  for (std::size_t i = 0; i < list->items.size(); ++i) {
    const std::string path = path_of(key) + "[" + std::to_string(i) + "]";
    if (list->items[i].is_null()) {
      report_->error(list->items[i].line, path, "is empty");
      continue;
    }
    maps.emplace_back(*report_, &list->items[i], path);
  }
  return maps;
}

std::vector<std::pair<std::string, Fields>> Fields::entries(std::string_view key) {
  std::vector<std::pair<std::string, Fields>> entries;
  const Value* map = take(key);
  if (map == nullptr) return entries;
  if (map->type != Value::Type::kMap) {
    error(key, "must be a map");
    return entries;
  }
  for (std::size_t i = 0; i < map->keys.size(); ++i) {
    entries.emplace_back(map->keys[i], Fields(*report_, &map->items[i],
                                              path_of(key) + "." + map->keys[i].substr(0, 128)));
  }
  return entries;
}

}  // namespace mesh::manifest
