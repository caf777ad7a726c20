// SPDX-License-Identifier: BSD-3-Clause
//
// Aligned memory that is allocated once and reused.

#ifndef PET_BUFFER_H
#define PET_BUFFER_H

#include <cstddef>
#include <cstdlib>
#include <new>
#include <utility>

namespace pet {

/// An uninitialized array, aligned to a cache line.  It grows and never shrinks.
template <typename T> class Buffer {
 public:
  Buffer() = default;
  Buffer(const Buffer &) = delete;
  Buffer &operator=(const Buffer &) = delete;
  Buffer(Buffer &&other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0))
  {
  }
  Buffer &operator=(Buffer &&other) noexcept
  {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Buffer() { std::free(data_); }

  /// Returns space for at least ``size`` numbers.  Growing discards the old content.
  T *get(std::size_t size)
  {
    if (size > size_) {
      std::free(data_);
      // Sizes vary from step to step: a reserve of a tenth avoids most reallocations.
      size_ = size + size / 10;
      const std::size_t bytes = (size_ * sizeof(T) + 63) / 64 * 64;
      data_ = static_cast<T *>(std::aligned_alloc(64, bytes));
      if (data_ == nullptr) {
        size_ = 0;
        throw std::bad_alloc();
      }
    }
    return data_;
  }

  T *data() const { return data_; }

 private:
  T *data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace pet

#endif
