package proof

import (
	"github.com/virt-pki/virt-pki/pkg/handshake"
)

// An End is one identity, read back from the disk.
type End struct {
	// Name is what it is called in a Failure.
	Name string
	// Family is whom it talks to: only libvirt talks to libvirt, and QEMU to QEMU.
	Family string
	// Hosts are what clients call it; nil for a client.
	Hosts []string
	// KeyElsewhere says that the key is not at hand: it is judged, but not connected.
	KeyElsewhere bool
	Credentials  handshake.Credentials
}

// pairsOf lists the pairs to connect, as indices, and says how many there are in all: if these are more than most, not all
// of them are listed.
func pairsOf(servers, clients []End, most int) (pairs [][2]int, total int) {
	byFamily := map[string][]int{}
	for j, c := range clients {
		byFamily[c.Family] = append(byFamily[c.Family], j)
	}
	for _, s := range servers {
		total += len(byFamily[s.Family])
	}
	used := map[int]bool{}
	for i, s := range servers {
		match := byFamily[s.Family]
		if len(match) == 0 {
			continue
		}
		if total <= most {
			for _, j := range match {
				pairs = append(pairs, [2]int{i, j})
			}
			continue
		}
		pairs = append(pairs, [2]int{i, match[i%len(match)]})
		used[match[i%len(match)]] = true
	}
	if total > most {
		for j, c := range clients {
			if used[j] {
				continue
			}
			for i, s := range servers {
				if s.Family == c.Family {
					pairs = append(pairs, [2]int{i, j})
					break
				}
			}
		}
	}
	return pairs, total
}

// alone gives the ends that are in no pair.
func alone(pairs [][2]int, servers, clients []End) (out []End) {
	paired := [2]map[int]bool{{}, {}}
	for _, p := range pairs {
		paired[0][p[0]], paired[1][p[1]] = true, true
	}
	for side, ends := range [2][]End{servers, clients} {
		for i, e := range ends {
			if !paired[side][i] {
				out = append(out, e)
			}
		}
	}
	return out
}
