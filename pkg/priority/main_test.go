package priority_test

import (
	"testing"

	"github.com/virt-pki/virt-pki/pkg/internal/peer"
)

func TestMain(m *testing.M) { peer.Main(m) }
