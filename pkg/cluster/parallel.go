package cluster

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
)

// workers is how many goroutines do a stage of the work: as many as there are processors, but with a Step one, so that a
// test can stop anywhere and everything happens in order.
func (o Options) workers() int {
	if o.Step != nil {
		return 1
	}
	return runtime.GOMAXPROCS(0)
}

// parallel does n things with some workers until one fails or the context ends. progress, which may be nil, is called with
// the number of those done.
func parallel(ctx context.Context, n, workers int, do func(i int) error, progress func(done int)) error {
	var next, done atomic.Int64
	var once sync.Once
	var failed error
	within, cancel := context.WithCancel(ctx)
	defer cancel()
	work := func() {
		for within.Err() == nil {
			i := int(next.Add(1)) - 1
			if i >= n {
				return
			}
			if err := do(i); err != nil {
				once.Do(func() { failed = err })
				cancel()
				return
			}
			if d := done.Add(1); progress != nil {
				progress(int(d))
			}
		}
	}
	var group sync.WaitGroup
	for range min(n, workers) - 1 {
		group.Go(work)
	}
	work()
	group.Wait()
	if failed != nil {
		return failed
	}
	if int(done.Load()) < n {
		return ctx.Err()
	}
	return nil
}
