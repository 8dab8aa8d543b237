// go_reader reads every sample of a directory of TSDB blocks with Prometheus' own library and prints how many there
// are, a checksum that does not depend on their order, and how long it took.
//
//	go_reader [-threads N] DIRECTORY
package main

import (
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"sync"
	"time"

	"github.com/oklog/ulid"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// total is what was read: stale markers count, native histograms do not.
type total struct {
	samples  uint64
	checksum uint64
}

func main() {
	threads := flag.Int("threads", 1, "how many blocks are read at once, and how many cores Go may use")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: go_reader [-threads N] DIRECTORY")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 1 || *threads < 1 {
		flag.Usage()
		os.Exit(2)
	}
	runtime.GOMAXPROCS(*threads)

	start := time.Now()
	sum, err := readAll(flag.Arg(0), *threads)
	if err != nil {
		fmt.Fprintln(os.Stderr, "go_reader:", err)
		os.Exit(1)
	}
	fmt.Printf("samples=%d checksum=%d seconds=%.6f threads=%d\n",
		sum.samples, sum.checksum, time.Since(start).Seconds(), *threads)
}

// readAll leaves the blocks open: closing them is no part of what is timed, and the program ends here.
func readAll(dir string, threads int) (total, error) {
	blocks, err := openBlocks(dir)
	if err != nil {
		return total{}, err
	}

	queue := make(chan *tsdb.Block, len(blocks))
	for _, block := range blocks {
		queue <- block
	}
	close(queue)

	sums := make([]total, threads)
	errs := make([]error, threads)
	var wg sync.WaitGroup
	for i := 0; i < threads; i++ {
		wg.Add(1)
		go func(i int) {
			defer wg.Done()
			for block := range queue {
				sum, err := readBlock(block)
				if err != nil {
					errs[i] = fmt.Errorf("%s: %w", block.Dir(), err)
					return
				}
				sums[i].add(sum)
			}
		}(i)
	}
	wg.Wait()

	var all total
	for i := range sums {
		if errs[i] != nil {
			return total{}, errs[i]
		}
		all.add(sums[i])
	}
	return all, nil
}

func (t *total) add(other total) {
	t.samples += other.samples
	t.checksum += other.checksum
}

// openBlocks opens each block by itself, which writes nothing and needs no WAL, and sorts them by time.
func openBlocks(dir string) ([]*tsdb.Block, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var blocks []*tsdb.Block
	for _, entry := range entries {
		// Beside the blocks lie the WAL, the head's chunks and directories that Prometheus is about to remove.
		if _, err := ulid.ParseStrict(entry.Name()); err != nil {
			continue
		}
		block, err := tsdb.OpenBlock(nil, filepath.Join(dir, entry.Name()), nil)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", entry.Name(), err)
		}
		blocks = append(blocks, block)
	}
	if len(blocks) == 0 {
		return nil, fmt.Errorf("%s holds no block", dir)
	}
	sort.Slice(blocks, func(i, j int) bool { return blocks[i].MinTime() < blocks[j].MinTime() })
	return blocks, nil
}

func readBlock(block *tsdb.Block) (total, error) {
	querier, err := tsdb.NewBlockQuerier(block, math.MinInt64, math.MaxInt64)
	if err != nil {
		return total{}, err
	}
	defer querier.Close()
	named, err := labels.NewMatcher(labels.MatchRegexp, labels.MetricName, ".+")
	if err != nil {
		return total{}, err
	}

	var sum total
	var it chunkenc.Iterator
	// Unsorted: the order does not matter here, and a sort would be time that is not spent on reading.
	set := querier.Select(false, nil, named)
	for set.Next() {
		// Handing the last iterator back saves an allocation for each series.
		it = set.At().Iterator(it)
		for kind := it.Next(); kind != chunkenc.ValNone; kind = it.Next() {
			if kind != chunkenc.ValFloat {
				continue
			}
			t, v := it.At()
			sum.samples++
			sum.checksum += math.Float64bits(v) ^ uint64(t)
		}
		if err := it.Err(); err != nil {
			return total{}, err
		}
	}
	return sum, set.Err()
}
