// SPDX-License-Identifier: GPL-2.0-or-later

#include "exchange.h"

#include "comm.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <utility>

using namespace LAMMPS_NS;

namespace {

/// The data by which the other rank recognises an edge; sent as bytes.
struct Label {
  tagint center, neighbor;
  double vector[3];
};

/// Edges from this rank to another one, by the IDs of both atoms.
using Index = std::multimap<std::pair<tagint, tagint>, int>;

/// Returns the reverse of the edge with this label, or -1.
int find_reverse(const Label &label, const Index &index, const std::vector<RemoteEdge> &edges)
{
  constexpr double TOLERANCE = 1e-3;    // A; the distance between images of an atom is larger
  const auto [begin, end] = index.equal_range({label.neighbor, label.center});
  for (auto entry = begin; entry != end; ++entry) {
    const auto &v = edges[entry->second].vector;
    double difference = 0.0;
    for (int k = 0; k < 3; k++) difference = std::max(difference, std::abs(v[k] + label.vector[k]));
    if (difference < TOLERANCE) return entry->second;
  }
  return -1;
}

}    // namespace

void PETExchange::rebuild(const std::vector<RemoteEdge> &edges, const std::vector<int> &owners)
{
  size_ = static_cast<std::int64_t>(edges.size());
  const int ranks = comm->nprocs, me = comm->me;
  std::vector<std::vector<int>> by_rank(ranks);
  for (std::size_t e = 0; e < edges.size(); e++)
    by_rank[owners[edges[e].ghost]].push_back(static_cast<int>(e));

  std::vector<int> mine(ranks), theirs(ranks);
  for (int rank = 0; rank < ranks; rank++) mine[rank] = static_cast<int>(by_rank[rank].size());
  MPI_Alltoall(mine.data(), 1, MPI_INT, theirs.data(), 1, MPI_INT, world);

  std::vector<std::vector<Label>> labels(ranks);
  std::vector<MPI_Request> requests;
  for (int rank = 0; rank < ranks; rank++) {
    if (rank == me || mine[rank] == 0 || theirs[rank] == 0) continue;
    const bool asks = me < rank;
    if (asks)
      for (const int e : by_rank[rank])
        labels[rank].push_back({edges[e].center, edges[e].neighbor,
                                {edges[e].vector[0], edges[e].vector[1], edges[e].vector[2]}});
    else labels[rank].resize(theirs[rank]);
    const int bytes = static_cast<int>(labels[rank].size() * sizeof(Label));
    requests.emplace_back();
    if (asks) MPI_Isend(labels[rank].data(), bytes, MPI_BYTE, rank, 0, world, &requests.back());
    else MPI_Irecv(labels[rank].data(), bytes, MPI_BYTE, rank, 0, world, &requests.back());
  }
  MPI_Waitall(static_cast<int>(requests.size()), requests.data(), MPI_STATUSES_IGNORE);

  partners_.clear();
  for (int rank = 0; rank < ranks; rank++) {
    if (labels[rank].empty()) continue;
    Partner partner{rank, {}, {}, {}};
    if (me < rank) {
      partner.edges = by_rank[rank];
    } else {
      Index index;
      for (const int e : by_rank[rank]) index.insert({{edges[e].center, edges[e].neighbor}, e});
      for (const Label &label : labels[rank])
        partner.edges.push_back(find_reverse(label, index, edges));
    }
    partners_.push_back(std::move(partner));
  }
}

void PETExchange::swap(const void *outgoing, void *incoming, std::int64_t row_bytes)
{
  const char *out = static_cast<const char *>(outgoing);
  char *in = static_cast<char *>(incoming);
  std::memset(in, 0, size_ * row_bytes);
  // MPI counts with int, which is too small for the number of bytes, but not of rows.
  MPI_Datatype row;
  MPI_Type_contiguous(static_cast<int>(row_bytes), MPI_BYTE, &row);
  MPI_Type_commit(&row);
  std::vector<MPI_Request> requests;
  for (Partner &partner : partners_) {
    const std::size_t rows = partner.edges.size();
    partner.out.assign(rows * row_bytes, 0);
    partner.in.resize(rows * row_bytes);
    for (std::size_t k = 0; k < rows; k++)
      if (const int e = partner.edges[k]; e >= 0)
        std::memcpy(partner.out.data() + k * row_bytes, out + e * row_bytes, row_bytes);
    requests.resize(requests.size() + 2);
    const int count = static_cast<int>(rows);
    MPI_Irecv(partner.in.data(), count, row, partner.rank, 1, world, &requests.end()[-2]);
    MPI_Isend(partner.out.data(), count, row, partner.rank, 1, world, &requests.end()[-1]);
  }
  MPI_Waitall(static_cast<int>(requests.size()), requests.data(), MPI_STATUSES_IGNORE);
  MPI_Type_free(&row);
  for (const Partner &partner : partners_)
    for (std::size_t k = 0; k < partner.edges.size(); k++)
      if (const int e = partner.edges[k]; e >= 0)
        std::memcpy(in + e * row_bytes, partner.in.data() + k * row_bytes, row_bytes);
}
