#pragma once
// What is worth comparing of a waypoint's configuration, without the boilerplate that every
// resource has: {"chain NAME": …, "cluster NAME": …, "endpoints NAME": […], "match": […], "listener
// NAME": …}.

#include <nlohmann/json_fwd.hpp>

namespace mesh::control {

// `dump`: {"clusters": [{"name", "resource"}], "listeners": […], "endpoints": […]}, the resources
// as canonical JSON. `whole`: with the listeners and clusters that every waypoint has.
nlohmann::json essence(const nlohmann::json& dump, bool whole);

}  // namespace mesh::control
