package peer

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// SASL makes a configuration of Cyrus SASL for libvirtd, with mechanisms ("scram-sha-256 plain") and a real database of
// users and passwords, and gives the variable that makes a daemon use it.
func SASL(t testing.TB, mechanisms string, users map[string]string) (env string) {
	t.Helper()
	Need(t, "saslpasswd2")
	dir := Dir(t)
	db := filepath.Join(dir, "passwd.db")
	for user, password := range users {
		if r := (Place{}).RunInput(t, password+"\n", "saslpasswd2", "-p", "-c", "-a", "libvirt", "-f", db, user); r.Exit != 0 {
			t.Fatalf("saslpasswd2: %v", r)
		}
	}
	conf := fmt.Sprintf("mech_list: %s\npwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: %s\n", mechanisms, db)
	if err := os.WriteFile(filepath.Join(dir, "libvirt.conf"), []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	return "SASL_CONF_PATH=" + dir
}
