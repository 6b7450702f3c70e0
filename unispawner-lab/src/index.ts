/** Shows in JupyterLab how much time is left for this session, and warns before its end. */

import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import { PageConfig, URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { Item } from './item';
import { Watch } from './watch';

/** Return the page of the Hub with all of the user's servers; empty without a Hub. */
function findHubPage(): string {
  const prefix = PageConfig.getOption('hubPrefix');
  return prefix ? PageConfig.getOption('hubHost') + URLExt.join(prefix, 'home') : '';
}

/**
 * Return where the Hub says why this session has ended. The browser may ask it only if the Hub has
 * the same origin; with `subdomain_host` it has not.
 */
function findHubAnswer(): string {
  const prefix = PageConfig.getOption('hubPrefix');
  const root = prefix.replace(/hub\/?$/, 'user/');
  const base = PageConfig.getBaseUrl().replace(/^https?:\/\/[^/]*/, '');
  const host = PageConfig.getOption('hubHost');
  if (!prefix || !base.startsWith(root) || (host && host !== window.location.origin)) {
    return '';
  }
  return URLExt.join(prefix, 'unispawner/session-end', base.slice(root.length));
}

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'unispawner-lab:time-left',
  description: 'Shows how much time is left for this session.',
  autoStart: true,
  optional: [IStatusBar, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    statusBar: IStatusBar | null,
    translator: ITranslator | null
  ): void => {
    const settings = ServerConnection.makeSettings();
    const trans = (translator ?? nullTranslator).load('unispawner_lab');
    const hubPage = findHubPage();
    const openHub = () => void window.open(hubPage, '_blank', 'noopener');
    const actions = [
      {
        label: trans.__('Save all'),
        displayType: 'accent' as const,
        callback: () => void app.commands.execute('docmanager:save-all')
      }
    ];
    const links = hubPage ? [{ label: trans.__('Open the Hub'), callback: openHub }] : [];
    const watch = new Watch({
      trans,
      ask: () =>
        ServerConnection.makeRequest(
          URLExt.join(settings.baseUrl, 'unispawner/time-left'),
          { cache: 'no-store' },
          settings
        ),
      askHub: async () => {
        const address = findHubAnswer();
        return address
          ? fetch(address, { cache: 'no-store', headers: { Accept: 'application/json' } })
          : null;
      },
      warn: text =>
        Notification.warning(text, { autoClose: false, actions: [...actions, ...links] }),
      tell: text => Notification.info(text, { autoClose: false, actions: [...actions, ...links] }),
      fail: text => Notification.error(text, { autoClose: false, actions: links }),
      dismiss: id => Notification.dismiss(id)
    });
    if (statusBar) {
      const item = new Item(trans, watch);
      statusBar.registerStatusItem('unispawner-lab:time-left', {
        align: 'right',
        rank: 50,
        item,
        isActive: () => watch.isKnown,
        activeStateChanged: watch.changed
      });
    }
    void app.restored.then(() => watch.start());
  }
};

export default plugin;
