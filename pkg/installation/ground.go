package installation

import (
	"strings"

	"github.com/virt-pki/virt-pki/pkg/internal/durable"
	"github.com/virt-pki/virt-pki/pkg/layout"
)

// A ground is where an installation puts its files: below the machine's root, and what is a user's below the user's home. So no
// link that the user has made there leads root, who installs, to files and directories of others.
type ground struct {
	root  *durable.Dir
	homes map[string]*durable.Dir
}

func openGround(root string) (*ground, error) {
	d, err := durable.Open(root)
	return &ground{d, map[string]*durable.Dir{}}, err
}

func (g *ground) close() {
	g.root.Close()
	for _, d := range g.homes {
		d.Close()
	}
}

// at gives the directory that a path of the machine is worked on from, and its name there.
func (g *ground) at(name string) (*durable.Dir, string, error) {
	home := homeOf(name)
	if home == "" {
		return g.root, layout.Below(name), nil
	}
	if g.homes[home] == nil {
		d, err := g.root.Below(layout.Below(home))
		if err != nil {
			return nil, "", err
		}
		g.homes[home] = d
	}
	return g.homes[home], layout.Below(strings.TrimPrefix(name, home)), nil
}

// homeOf gives the home directory that a path is in, "" where it is in none.
func homeOf(name string) string {
	if strings.HasPrefix(name, "/root/") || name == "/root" {
		return "/root"
	}
	if rest, ok := strings.CutPrefix(name, "/home/"); ok {
		user, _, _ := strings.Cut(rest, "/")
		return "/home/" + user
	}
	return ""
}
