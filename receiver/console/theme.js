// The theme, before the first paint: a plain script, because modules run too late and the page would flash.
(() => {
  "use strict";
  const KEY = "watchpost.theme";
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => {
    try {
      const theme = localStorage.getItem(KEY);
      return theme === "light" || theme === "dark" ? theme : "auto";
    } catch {
      return "auto";
    }
  };
  const apply = () => {
    const theme = chosen();
    document.documentElement.dataset.theme = theme === "auto" ? (dark.matches ? "dark" : "light") : theme;
    document.documentElement.dataset.themeChoice = theme;
    dispatchEvent(new Event("watchpost-theme"));
  };
  window.watchpostTheme = {
    chosen,
    choose(theme) {
      try {
        localStorage.setItem(KEY, theme);
      } catch {
        // Private windows may refuse: the choice lasts for this page.
      }
      apply();
    },
  };
  dark.addEventListener("change", apply);
  apply();
})();
