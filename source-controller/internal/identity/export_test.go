package identity

// ParseApp is what the fuzzer calls: the data of the App as it is used, and the host of its API.
func ParseApp(data map[string][]byte) (used map[string][]byte, host string, err error) {
	a, err := parseApp(data)
	if err != nil {
		return nil, "", err
	}
	return a.data, a.host, a.parseBase()
}
