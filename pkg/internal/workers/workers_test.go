package workers

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
)

func TestEverythingIsDoneOnce(t *testing.T) {
	for _, workers := range []int{1, 3, 100} {
		for _, n := range []int{0, 1, 50} {
			done := make([]atomic.Int32, n)
			var last atomic.Int64
			err := Do(context.Background(), n, workers, func(i int) error {
				done[i].Add(1)
				return nil
			}, func(d int) { last.Store(max(last.Load(), int64(d))) })
			if err != nil || workers == 1 && int(last.Load()) != n {
				t.Errorf("%d workers, %d things: %v, told of %d", workers, n, err, last.Load())
			}
			for i := range done {
				if done[i].Load() != 1 {
					t.Errorf("%d workers: thing %d was done %d times", workers, i, done[i].Load())
				}
			}
		}
	}
}

func TestTheFirstFailureEndsIt(t *testing.T) {
	bad := errors.New("bad")
	var begun atomic.Int32
	err := Do(context.Background(), 1000, 1, func(i int) error {
		begun.Add(1)
		if i == 3 {
			return bad
		}
		return nil
	}, nil)
	if !errors.Is(err, bad) || begun.Load() != 4 {
		t.Errorf("%v after %d", err, begun.Load())
	}
}

func TestTheEndOfTheContextIsSaid(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	err := Do(ctx, 10, 2, func(i int) error {
		cancel()
		return nil
	}, nil)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := Do(ctx, 0, 2, nil, nil); err != nil {
		t.Errorf("nothing was left undone: %v", err)
	}
}
