package train

import (
	"fmt"
	"os"

	"github.com/goccy/go-yaml"
)

// configLimit is the largest configuration file that is read.
const configLimit = 1 << 20

// ReadConfig reads a Config from a YAML or JSON file. See [ParseConfig].
func ReadConfig(path string) (Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return Config{}, err
	}
	defer f.Close()
	b := make([]byte, configLimit+1)
	n := 0
	for n < len(b) {
		k, err := f.Read(b[n:])
		if n += k; err != nil || k == 0 {
			break
		}
	}
	c, err := ParseConfig(b[:n])
	if err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// ParseConfig reads a Config from YAML, of which JSON is a part, under the names of the JSON form, and
// validates it. Unknown names and values of another type are errors with line and column.
func ParseConfig(b []byte) (c Config, err error) {
	if len(b) > configLimit {
		return c, fmt.Errorf("found more than %d bytes, expected a configuration\nhint: a configuration is a few lines", configLimit)
	}
	// A parser of a rich format is not to take the program down, whatever it is given.
	defer func() {
		if r := recover(); r != nil {
			c, err = Config{}, fmt.Errorf("the YAML cannot be read: %v\nhint: simplify the file", r)
		}
	}()
	if err := yaml.UnmarshalWithOptions(b, &c, yaml.Strict()); err != nil {
		return Config{}, fmt.Errorf("%s\nhint: the names are those of run.json's config", yaml.FormatError(err, false, true))
	}
	if err := c.Validate(); err != nil {
		return Config{}, err
	}
	return c, nil
}
