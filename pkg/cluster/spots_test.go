package cluster

import (
	"testing"

	"github.com/virt-pki/virt-pki/pkg/layout"
)

// spotsIn lists the layouts of a cluster.
func spotsIn(t testing.TB, dir string) []layout.Spot {
	t.Helper()
	spots, err := Spots(dir)
	if err != nil || len(spots) == 0 {
		t.Fatalf("%v, %v", spots, err)
	}
	return spots
}
