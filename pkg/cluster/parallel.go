package cluster

import "runtime"

// workers is how many goroutines do a stage of the work: as many as there are processors, but with a Step one, so that a
// test can stop anywhere and everything happens in order.
func (o Options) workers() int {
	if o.Step != nil {
		return 1
	}
	return runtime.GOMAXPROCS(0)
}
