// Playing with keyboard and mouse, on the live page.

export function start(page) {
}
