// What the export `check` has found.
#pragma once

#include "text.h"

#include "Luau/Location.h"

#include <cstdint>
#include <functional>
#include <iterator>
#include <set>
#include <string>
#include <string_view>
#include <tuple>

namespace motu {

struct Finding {
    bool warning; // it may be meant so
    std::string path;
    unsigned line, column; // from 1; column 0 if only the line is known
    std::string message;

    bool operator<(const Finding &other) const { return key() < other.key(); }

private:
    std::tuple<bool, const std::string &, unsigned, unsigned, const std::string &> key() const {
        return {warning, path, line, column, message};
    }
};

// In order, each thing once: first what is wrong, then the warnings. Of too many, the first, and how many more there are.
class Findings {
public:
    static constexpr unsigned no_column = ~0u; // one more is 0

    void add(const std::string &path, const Luau::Position &at, std::string_view message, bool warning = false) {
        found_.insert({warning, path, at.line + 1, at.column + 1, cut(message, message_bytes_max)});
        if (found_.size() <= findings_max)
            return;
        auto last = std::prev(found_.end());
        left_out_.insert(hash_of(*last));
        found_.erase(last);
    }

    const std::set<Finding> &all() const { return found_; }
    size_t left_out() const { return left_out_.size(); }

private:
    static constexpr size_t findings_max = 200;
    static constexpr size_t message_bytes_max = 2048; // a syntax error quotes its token, which has no length limit

    static uint64_t hash_of(const Finding &finding) {
        std::hash<std::string> hash;
        uint64_t mixed = 0;
        for (uint64_t part : {uint64_t(hash(finding.path)), uint64_t(finding.line), uint64_t(finding.column),
                              uint64_t(hash(finding.message))}) {
            mixed = (mixed ^ part) * 0x9E3779B97F4A7C15;
            mixed ^= mixed >> 32;
        }
        return mixed;
    }

    std::set<Finding> found_;
    std::set<uint64_t> left_out_; // each by a hash: the same is found more than once
};

} // namespace motu
