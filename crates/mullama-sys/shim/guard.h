// Turns C++ exceptions into a failure value and a message.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <string>

inline void mullama_write_error(char * err, size_t err_len, const char * what) noexcept {
    if (err == nullptr || err_len == 0) {
        return;
    }
    const size_t n = std::min(std::strlen(what), err_len - 1);
    std::memcpy(err, what, n);
    err[n] = '\0';
}

template <typename F, typename R> R mullama_guard(char * err, size_t err_len, R failed, F && f) noexcept {
    try {
        return f();
    } catch (const std::bad_alloc &) {
        mullama_write_error(err, err_len, "out of memory");
    } catch (const std::exception & e) {
        mullama_write_error(err, err_len, e.what());
    } catch (...) {
        mullama_write_error(err, err_len, "unknown C++ exception");
    }
    return failed;
}

inline char * mullama_new_string(const std::string & text) {
    char * copy = static_cast<char *>(std::malloc(text.size() + 1));
    if (copy == nullptr) {
        throw std::bad_alloc();
    }
    std::memcpy(copy, text.data(), text.size());
    copy[text.size()] = '\0';
    return copy;
}
