package workers

import (
	"context"
	"sync"
	"sync/atomic"
)

// Do does n things, do(0) to do(n-1), with some goroutines, one of which is the caller's, until one fails or the context ends.
// The error is that of the first that failed, or the context's when it left something undone. progress, which may be nil, is
// called with the number of those done, from several goroutines.
func Do(ctx context.Context, n, workers int, do func(i int) error, progress func(done int)) error {
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
