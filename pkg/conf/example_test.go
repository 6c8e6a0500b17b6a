package conf_test

import (
	"fmt"

	"github.com/virt-pki/virt-pki/pkg/conf"
)

func ExampleCheck() {
	text := "tls_allowed_dn_list = [ \"CN=admin,O=Acme,C=GB\" ]\ntls_no_verify_cert = 0\n"
	_, findings := conf.Check([]byte(text), "libvirtd.conf", conf.LintOptions{})
	for _, f := range findings {
		fmt.Println(f.Subject, f.Rule)
	}
	// Output:
	// libvirtd.conf:1 conf-dn-pattern-reversed
	// libvirtd.conf:2 conf-misspelt-key
}

func ExampleFile_Set() {
	f, err := conf.Parse([]byte("# who may come in\ntls_allowed_dn_list = [\n  \"C=GB,CN=admin\"\n]\n"), "libvirtd.conf")
	if err != nil {
		fmt.Println(err)
		return
	}
	f, err = f.Set("tls_allowed_dn_list", []string{"C=GB,CN=admin", "C=GB,CN=backup"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(string(f.Marshal()))
	// Output:
	// # who may come in
	// tls_allowed_dn_list = [
	//   "C=GB,CN=admin",
	//   "C=GB,CN=backup"
	// ]
}
