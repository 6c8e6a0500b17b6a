package preflight

import (
	"os"
	"testing"

	"github.com/virt-pki/virt-pki/pkg/internal/peer"
)

func TestMain(m *testing.M) {
	status := m.Run()
	peer.RemoveBuilt()
	os.Exit(status)
}
