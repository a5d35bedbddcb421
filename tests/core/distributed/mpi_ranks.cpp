// One rank of several, for mpirun:
//   mpi_ranks            every operation, against what it should come to
//   mpi_ranks throw|late|stop|kill   rank 1 does so; the others must end and name it
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <iostream>
#include <thread>

#define DOCTEST_CONFIG_IMPLEMENT
#include "tests/core/distributed/collectives.h"

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  try {
    cks::Communicator ranks = cks::join_processes({.timeout_seconds = 2.0});
    if (what.empty()) {
      doctest::Context context;
      context.setAsDefaultForAssertsOutOfTestCases();
      context.setAssertHandler([](const doctest::AssertData& data) {
        if (data.m_failed) {
          std::cerr << data.m_file << ":" << data.m_line << ": " << data.m_expr << std::endl;
          throw std::runtime_error("a check failed");
        }
      });
      cks::testing::check_collectives(ranks, true);
      std::cout << "rank " << ranks.rank() << " of " << ranks.size() << ": " << ranks.backend()
                << "\n";
      return 0;
    }
    try {
      ranks.barrier();
      if (ranks.rank() == 1) {
        if (what == "throw") {
          throw cks::Error("no more film");
        }
        if (what == "late") {
          std::this_thread::sleep_for(std::chrono::hours(1));
        }
        raise(what == "stop" ? SIGSTOP : SIGKILL);
      }
      ranks.barrier();
    } catch (const cks::Error& error) {
      ranks.fail(error.what());
      throw;
    }
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << std::endl;
    return 1;
  }
  return 0;
}
